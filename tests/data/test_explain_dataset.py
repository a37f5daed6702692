"""A data set into a folder: killed, resumed, refused, full disks, and nothing half-written."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtrace_onnx import ExplainBatches, InputError, RequestError, explain_dataset
from backtrace_onnx.data.locking import LOCK
from backtrace_onnx.data.results_folder import MANIFEST
from backtrace_onnx.errors import (
    BacktraceError,
    NumericalError,
    RowError,
    Unsupported,
    UnsupportedError,
)
from tests.graphs import mlp

ROWS = 50
NO_WINDOWS = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")
OPTIONS: dict[str, Any] = {"ids": "n", "mode": "epsilon(absolute=1e-6)", "batch": 4, "part_rows": 9}
RUN = """
import sys, time
from backtrace_onnx import explain_dataset
explain_dataset(sys.argv[1], sys.argv[2], sys.argv[3], ids="n", batch=4, part_rows=9,
                mode="epsilon(absolute=1e-6)",
                progress=lambda done, of: (print(done, flush=True), time.sleep(0.02)))
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    onnx.save(mlp(), tmp_path / "m.onnx")
    x = np.random.default_rng(0).standard_normal((ROWS, 4)).astype(np.float32)
    lines = [",".join(map(str, (i, *row))) for i, row in enumerate(x)]
    (tmp_path / "x.csv").write_text("\n".join(["n,a,b,c,d", *lines]))
    return tmp_path


def run(here: Path, out: str = "out", **options: Any) -> Any:
    return explain_dataset(here / "m.onnx", here / "x.csv", here / out, **(OPTIONS | options))


def same(one: pa.Table, other: pa.Table) -> None:
    assert one.equals(other)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.name != LOCK}


def child(here: Path, out: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, here / "m.onnx", here / "x.csv", here / out]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


def test_results_are_those_of_single_rows_and_say_where_they_are_from(here: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = run(here, progress=lambda *counts: seen.append(counts))
    assert (made.rows, made.skipped, made.resumed) == (ROWS, 0, 0)
    assert [pq.read_metadata(part).num_rows for part in made.parts] == [9] * 5 + [5]
    table = made.read()
    assert table["row/line"].to_pylist() == list(range(2, ROWS + 2))
    assert set(table["row/file"].to_pylist()) == {str(here / "x.csv")}
    assert table["id/n"].to_pylist() == [str(i) for i in range(ROWS)]
    explain = ExplainBatches(here / "m.onnx", ids="n", mode="epsilon(absolute=1e-6)")
    lines = (here / "x.csv").read_text().splitlines()
    names = lines[0].split(",")
    for i in (0, 13, ROWS - 1):
        row = [[cell] for cell in lines[i + 1].split(",")]
        alone = explain(dict(zip(names, row, strict=True)))
        same(table.slice(i, 1).drop_columns(["row/file", "row/line"]), alone)
    assert seen[0] == (4, ROWS) and seen[-1] == (ROWS, ROWS)
    told = json.loads((here / "out" / MANIFEST).read_text())
    assert told["complete"] and told["rows"] == ROWS and len(told["run"]["model"]["sha256"]) == 64
    assert list(told["columns"]) == table.column_names


@NO_WINDOWS
def test_killed_at_any_moment_it_goes_on_and_is_the_same_to_the_last_bit(here: Path) -> None:
    whole = run(here, "whole")
    wanted = contents(whole.folder)
    for rows in (4, 24, 40):  # within the first part, at the end of one, far on
        killed = child(here, "killed")
        assert killed.stdout is not None
        while int(killed.stdout.readline() or ROWS) < rows:
            pass
        time.sleep(rows / 4000)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        killed.stdout.close()
        parts = sorted((here / "killed").glob("part-*.parquet"))
        assert all(wanted[part.name] == part.read_bytes() for part in parts)
    assert not json.loads((here / "killed" / MANIFEST).read_text())["complete"]
    resumed = run(here, "killed")
    assert resumed.resumed > 0 and resumed.rows == ROWS
    assert contents(resumed.folder) == wanted
    assert run(here, "killed").resumed == len(whole.parts)
    assert contents(resumed.folder) == wanted


def test_a_part_that_was_lost_or_cut_is_made_again(here: Path) -> None:
    whole = run(here)
    wanted = contents(whole.folder)
    whole.parts[5].unlink()
    whole.parts[3].write_bytes(whole.parts[3].read_bytes()[:-1])
    (whole.folder / ".part-00003.parquet").write_bytes(b"half")
    assert run(here).resumed == 3
    assert contents(whole.folder) == wanted


def test_workers_write_the_same(here: Path) -> None:
    whole = contents(run(here, "one").folder)
    assert contents(run(here, "two", workers=2).folder) == whole


@NO_WINDOWS
def test_a_worker_that_is_killed_loses_nothing(here: Path) -> None:
    def kill(done: int, about: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(RequestError, match=r"a worker process ended before its results"):
        run(here, workers=2, part_rows=4, progress=kill)
    assert run(here, part_rows=4).resumed > 0
    assert contents(here / "out") == contents(run(here, "whole", part_rows=4).folder)


@pytest.mark.parametrize(
    "error",
    [
        NumericalError("fc1", "lrp", 3, "node 'fc1' (Gemm)", "use mode default"),
        UnsupportedError([Unsupported("acme::Odd", ("odd",), "no rule")]),
        RowError("x.csv: line 3: odd"),
    ],
)
def test_errors_of_workers_arrive_as_they_were_raised(error: BacktraceError) -> None:
    made = pickle.loads(pickle.dumps(error))
    assert type(made) is type(error)
    assert (str(made), made.exit_code, vars(made)) == (str(error), error.exit_code, vars(error))


@pytest.mark.parametrize("change", ["mode", "batch", "model", "data"])
def test_another_run_is_refused(change: str, here: Path) -> None:
    first = run(here)
    before = contents(first.folder)
    options: dict[str, Any] = {"mode": "default"} if change == "mode" else {}
    options |= {"batch": 3} if change == "batch" else {}
    if change == "model":
        other = mlp()
        other.doc_string = "other"
        onnx.save(other, here / "m.onnx")
    elif change == "data":
        (here / "x.csv").write_text((here / "x.csv").read_text() + "\n51,1,2,3,4")
    with pytest.raises(RequestError, match=f"holds results of another run: .*{change}"):
        run(here, **options)
    assert contents(first.folder) == before
    anew = run(here, resume=False, **options)
    assert anew.resumed == 0
    assert contents(anew.folder) == contents(run(here, "fresh", **options).folder)


def test_two_runs_into_one_folder(here: Path) -> None:
    first = child(here, "out")
    assert first.stdout is not None
    first.stdout.readline()
    with pytest.raises(RequestError, match=rf"another run writes there \(process {first.pid}\)"):
        run(here)
    first.kill()
    first.wait()
    first.stdout.close()
    assert run(here).rows == ROWS  # the lock of a process that is gone holds nobody up


def test_bad_rows_are_skipped_only_where_asked_and_counted(here: Path) -> None:
    lines = (here / "x.csv").read_text().splitlines()
    lines[3], lines[30] = "2,1,2", "29,1,x,3,4"
    (here / "x.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"x.csv: line 4 has 3 values, the header 5"):
        run(here)
    assert sorted(contents(here / "out")) == [MANIFEST]
    made = run(here, "other", skip_bad=True)
    assert (made.rows, made.skipped) == (ROWS - 2, 2)
    assert [bad.line for bad in made.bad] == [4, 31]
    assert made.read()["id/n"].to_pylist() == [str(i) for i in range(ROWS) if i not in (2, 29)]
    again = contents(made.folder)
    made.parts[4].unlink()
    assert contents(run(here, "other", skip_bad=True).folder) == again


def test_rows_without_a_finite_explanation_are_named(here: Path) -> None:
    lines = (here / "x.csv").read_text().splitlines()
    lines[7] = "6,1e38,1e38,-1e38,1e38"
    (here / "x.csv").write_text("\n".join(lines))
    with pytest.raises(RowError, match=r"x.csv: line 8: output 'y' holds NaN or Inf"):
        run(here)
    made = run(here, "other", skip_bad=True)
    assert [bad.line for bad in made.bad] == [8]
    assert made.read()["id/n"].to_pylist() == [str(i) for i in range(ROWS) if i != 6]


@pytest.mark.parametrize("rows", [0, 1])
def test_data_sets_of_no_row_and_of_one(rows: int, here: Path) -> None:
    lines = (here / "x.csv").read_text().splitlines()[: rows + 1]
    (here / "x.csv").write_text("\n".join(lines))
    made = run(here)
    assert made.rows == rows == made.read().num_rows
    assert json.loads((here / "out" / MANIFEST).read_text())["complete"]
    assert run(here).rows == rows


def test_several_files_and_what_is_left_out(here: Path) -> None:
    records = [{"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "n": "p"}]
    pq.write_table(pa.Table.from_pylist(records), here / "y.parquet")
    files = [here / "x.csv", here / "y.parquet"]
    made = explain_dataset(here / "m.onnx", files, here / "out", **OPTIONS)
    assert made.rows == ROWS + 1
    assert made.read()["row/file"].to_pylist()[-1] == str(here / "y.parquet")
    assert any("taken in the order of" in note for note in made.notes)
    pq.write_table(pa.Table.from_pylist([{**records[0], "n": 1}]), here / "y.parquet")
    with pytest.raises(InputError, match=r"result 'id/n' was string, and is int64 now"):
        explain_dataset(here / "m.onnx", files, here / "out2", **OPTIONS)


@NO_WINDOWS
def test_a_full_disk_leaves_nothing_half_written(here: Path) -> None:
    """A limit of the size of files fails as a full disk does: in the middle of a write."""
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))\n"
    )
    command = [sys.executable, "-c", code + RUN, here / "m.onnx", here / "x.csv", here / "out"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert "RequestError" in done.stderr and "out: cannot be written" in done.stderr
    assert not list((here / "out").glob(".part-*"))
    assert contents(run(here).folder) == contents(run(here, "whole").folder)


def test_folders_that_are_none_and_options_that_no_file_can_say(here: Path) -> None:
    (here / "file").touch()
    (here / "foreign").mkdir()
    (here / "foreign" / "part-00000.parquet").write_bytes(b"PAR1")
    (here / "strange").mkdir()
    (here / "strange" / MANIFEST).write_text("{}")
    for out, what in (
        ("file", "cannot be written"),
        ("foreign", "holds parts of which no _manifest.json tells"),
        ("strange", "is no manifest of results that this version writes"),
    ):
        with pytest.raises(RequestError, match=what):
            run(here, out)
    with pytest.raises(RequestError, match=r"baseline is function, which the manifest"):
        run(here, baseline=lambda x: x)
    with pytest.raises(RequestError, match=r"lies in the folder of the data"):
        explain_dataset(here / "m.onnx", here, here / "inside", **OPTIONS)
    with pytest.raises(RequestError, match=r"workers is a number, at least 1, not 0"):
        run(here, workers=0)
    with pytest.raises(InputError, match=r"no such file"):
        explain_dataset(here / "m.onnx", here / "none.csv", here / "out")


@pytest.mark.parametrize("part_rows", [1, 3, 4, 10, 1000])
def test_a_part_has_the_rows_that_are_asked_for(here: Path, part_rows: int) -> None:
    """Fewer than a batch, more, over the ends of files; and a run goes on behind them."""
    (here / "y.csv").write_text("\n".join((here / "x.csv").read_text().splitlines()[:8]))
    data = [here / "x.csv", here / "y.csv"]
    made = explain_dataset(mlp(), data, here / "parts", ids="n", batch=4, part_rows=part_rows)
    sizes = [part.num_rows for part in made.tables()]
    count = sum(sizes)
    assert sizes[:-1] == [part_rows] * (len(sizes) - 1) and 0 < sizes[-1] <= part_rows
    whole = explain_dataset(mlp(), data, here / "whole", ids="n").read()
    assert count == whole.num_rows
    same(made.read(), whole)
