"""Exports small networks and estimators of every family by every exporter, and explains each.

    python scripts/matrix/sweep.py [--only TEXT] [--group GROUP] [--again | --failed]

What is done is kept in out/sweep.jsonl, so that a sweep goes on where it stopped; `--again` does
the chosen ones anew, `--failed` those that were not explained. A failure never stops it, nor does a
crash: the process is started again behind it. When all is done, or with `--write`, the table of
docs/sweep.md is written. Needs all extras; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from cases import MODULES, Case
from sweep_table import write_table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "out" / "sweep.jsonl"
SECONDS = 600  # for one export and all its explanations
Record = dict[str, Any]


def main() -> int:
    """Run the groups one after another, each in a process that is started again if it dies."""
    asked = _arguments()
    asked.results.parent.mkdir(exist_ok=True)
    if asked.worker:
        return work(asked)
    if not asked.write:
        for group in [asked.group] if asked.group else MODULES:
            _run_group(group, asked)
    listed = [case for module in MODULES.values() for case in import_module(module).cases()]
    return write_table(read(asked.results), listed)


def work(asked: argparse.Namespace) -> int:
    """Do the cases of one group that are not done yet."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    known = read(asked.results)
    for case in import_module(MODULES[asked.group]).cases():
        done = known.get(case.name)
        if asked.only and asked.only.lower() not in case.name.lower():
            continue
        if done is not None and not _is_wanted(done, asked):
            if done["outcome"] == "begun":
                _keep(asked.results, {**done, "outcome": "wrong", "reason": "the process died"})
            continue
        record = {
            "name": case.name,
            "family": case.family,
            "network": case.network,
            "exporter": case.exporter,
            "group": asked.group,
            "begun": time.time(),
        }
        _keep(asked.results, {**record, "outcome": "begun"})
        record |= do(case)
        _keep(asked.results, {**record, "seconds": round(time.time() - record["begun"], 1)})
        print(case.name, record["outcome"], record.get("reason", "")[:200], flush=True)
    return 0


def _is_wanted(done: Record, asked: argparse.Namespace) -> bool:
    """Whether a case is done anew: as asked, and once only, however often the process dies."""
    if done["begun"] >= asked.since:
        return False
    return asked.again or (asked.failed and done["outcome"] != "explained")


def do(case: Case) -> Record:
    """Export one case and check the file, in at most SECONDS."""
    from checking import _words, check

    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            feeds = case.make(path)
        except TimeoutError as error:
            return {"outcome": "not finished", "reason": str(error)}
        except Exception as error:  # the exporters raise anything
            return {"outcome": "not exported", "reason": f"{type(error).__name__}: {_words(error)}"}
        try:
            return check(path, feeds)
        except TimeoutError as error:
            return {"outcome": "not finished", "reason": str(error)}
        except Exception as error:  # a fault of ours, or of this script
            return {"outcome": "wrong", "reason": f"{type(error).__name__}: {_words(error)}"}
        finally:
            signal.alarm(0)


def read(file: Path) -> dict[str, Record]:
    """The last record of every case, by name."""
    if not file.is_file():
        return {}
    rows = (json.loads(line) for line in file.read_text().splitlines() if line)
    return {row["name"]: row for row in rows}


def _run_group(group: str, asked: argparse.Namespace) -> None:
    begun = time.time()
    call = [sys.executable, __file__, "--worker", "--group", group, "--since", str(begun)]
    call += ["--results", str(asked.results)]
    call += ["--only", asked.only] if asked.only else []
    call += ["--again"] if asked.again else []
    call += ["--failed"] if asked.failed else []
    for _ in range(20):
        if subprocess.run(call, check=False).returncode == 0:
            return


def _keep(file: Path, record: Record) -> None:
    with file.open("a") as out:
        out.write(json.dumps(record) + "\n")


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"longer than {SECONDS} seconds")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", help="cases whose name holds this text")
    parser.add_argument("--group", choices=list(MODULES))
    parser.add_argument("--again", action="store_true", help="do anew what is done")
    parser.add_argument("--failed", action="store_true", help="do anew what was not explained")
    parser.add_argument("--write", action="store_true", help="write the table of what is done")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--since", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
