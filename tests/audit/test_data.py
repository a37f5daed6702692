"""Audits take every kind of data that data sets are read from, with labels, ids and groups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from onnx import parser
from PIL import Image

from backtrace_onnx.audit import audit, compare
from backtrace_onnx.audit.baseline import Baseline, accuracy
from backtrace_onnx.audit.calls import open_audit
from backtrace_onnx.audit.outputs.tables import as_json
from backtrace_onnx.audit.running import Report
from backtrace_onnx.errors import InputError
from backtrace_onnx.verification import verify
from tests.audit.audited import SOUND, linear, write_model, write_rows
from tests.audit.checks.test_row_drift import A, B
from tests.text.made import classifier, word_pieces

FEW: dict[str, Any] = {
    "mode": "lrp",
    "checks": {name: {"enabled": False} for name in ("parameter-randomisation", "max-sensitivity")},
}
TEXTS = ["a good film", "bad films", "a bad film !", "good", "badly a film", "good good films !"]


def write(folder: Path, kind: str, count: int = 60) -> Path:
    """Rows of the four columns, with the answer, an id and a group."""
    table = pa.csv.read_csv(write_rows(folder, count))
    table = table.append_column("case", pa.array([f"c{i}" for i in range(count)]))
    table = table.append_column("sex", pa.array(["f" if i % 2 else "m" for i in range(count)]))
    path = folder / f"all.{kind}"
    if kind == "csv":
        pa.csv.write_csv(table, path)
    elif kind == "parquet":
        pq.write_table(table, path)
    elif kind == "json":
        path.write_text(json.dumps(table.to_pylist()))
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, table.to_pylist())))
    else:
        x = np.stack([table[name].to_numpy() for name in ("a", "b", "c", "leak")], 1)
        rest = {name: np.array(table[name].to_pylist()) for name in ("answer", "case", "sex")}
        np.savez(path, x=x.astype(np.float32), **rest)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "jsonl", "npz"])
def test_every_kind_of_file_says_the_same(kind: str, tmp_path: Path) -> None:
    model = write_model(tmp_path, linear())
    how: dict[str, Any] = {"label": "answer", "ids": ["case"], "groups": ["sex"], "settings": FEW}
    wanted = open_audit(model, str(write(tmp_path, "csv")), **how).subject
    found = open_audit(model, str(write(tmp_path, kind)), **how).subject
    np.testing.assert_array_equal(found.whole.features, wanted.whole.features)
    assert accuracy(found) == accuracy(wanted) == 1.0
    assert found.data.groups["sex"].tolist() == ["m", "f"] * 30
    assert found.data.told(7) == {"row": 7, "id": "c7"}


def given(folder: Path, kind: str) -> Any:
    """The rows of `write`, at hand."""
    table = pa.csv.read_csv(write(folder, "csv"))
    if kind == "frame":
        return table.to_pandas()
    if kind == "polars":
        return pytest.importorskip("polars").from_arrow(table)
    if kind == "arrow":
        return table
    if kind == "columns":
        return {name: table[name].to_pylist() for name in table.column_names}
    with np.load(write(folder, "npz")) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("kind", ["frame", "polars", "arrow", "columns", "arrays"])
def test_rows_at_hand_say_the_same(kind: str, tmp_path: Path) -> None:
    model = write_model(tmp_path, linear())
    how: dict[str, Any] = {"label": "answer", "ids": ["case"], "groups": ["sex"], "settings": FEW}
    wanted = audit(model, str(write(tmp_path, "csv")), **how)
    rows = given(tmp_path, kind)
    report = audit(model, rows, **how)
    assert report.data == ("the data",) and report.facts["data"]["rows"] == 60
    assert statuses(report) == statuses(wanted) and "broken" not in statuses(report).values()
    assert [f.value for f in report.findings] == [f.value for f in wanted.findings]
    again = audit(model, rows, **how)
    assert again.facts["data"]["sha256"] == report.facts["data"]["sha256"]


def test_an_array_at_hand_is_compared_verified_and_named_by_row(tmp_path: Path) -> None:
    old = write_model(tmp_path, linear(A), "old")
    new = write_model(tmp_path, linear(B), "new")
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    wanted = compare(old, new, str(tmp_path / "x.npy"), settings=FEW)
    report = compare(old, new, x, settings=FEW)
    assert statuses(report) == statuses(wanted)
    (tmp_path / "report.json").write_text(as_json(report))
    assert verify(tmp_path / "report.json", data=x).same
    with pytest.raises(InputError, match="its rows were at hand, and in no file; give them: data="):
        verify(tmp_path / "report.json")
    with pytest.raises(InputError, match="the data is another one"):
        verify(tmp_path / "report.json", data=x[:39])
    x[3, 1] = np.nan
    with pytest.raises(InputError, match="the data: row 4: input 'x' holds NaN"):
        audit(new, x, settings=FEW)
    with pytest.raises(InputError, match="the data: no rows"):
        audit(new, x[:0], settings=FEW)
    frame = given(tmp_path, "frame")
    frame.loc[2, "answer"] = "maybe"
    with pytest.raises(InputError, match=r"the data: row 3, column 'answer': label 'maybe'"):
        audit(new, frame, label="answer", settings=FEW)


def test_rows_that_findings_name_have_their_ids(tmp_path: Path) -> None:
    old = write_model(tmp_path, linear(A), "old")
    new = write_model(tmp_path, linear(B), "new")
    report = compare(old, new, str(write(tmp_path, "parquet")), ids="case", settings=FEW)
    evidence = {finding.check.id: finding.evidence for finding in report.findings}
    for check in ("sample-drift", "sample-top-features"):
        for row in evidence[check]["rows"]:
            assert row["id"] == f"c{row['row']}"


def with_labels(folder: Path, labels: list[str]) -> str:
    header, *rows = write_rows(folder, len(labels)).read_text().splitlines()
    cells = [f"{row.rpartition(',')[0]},{y}" for row, y in zip(rows, labels, strict=True)]
    (folder / "some.csv").write_text("\n".join([header, *cells]))
    return str(folder / "some.csv")


def test_rows_without_a_label_count_for_accuracy_only(tmp_path: Path) -> None:
    model = write_model(tmp_path, linear())
    rows = write_rows(tmp_path, 40).read_text().splitlines()[1:]
    right = [row.rpartition(",")[2] for row in rows]
    other = {"yes": "no", "no": "yes"}
    data = with_labels(tmp_path, ["", " ", other[right[2]], *right[3:]])
    report = audit(model, data, label="answer", settings=FEW)
    assert report.facts["accuracy"] == pytest.approx(37 / 38)
    assert report.facts["labelled"] == 38 and report.facts["data"]["rows"] == 40
    note = {"text": "rows without label do not count for accuracy", "rows": 2}
    assert note in report.facts["notes"]
    found = open_audit(model, with_labels(tmp_path, [""] * 40), label="answer", settings=FEW)
    assert accuracy(found.subject) is None and Baseline.of(found.subject).answers.accuracy is None


def test_numbers_of_a_column_that_lacks_some_are_classes(tmp_path: Path) -> None:
    model = write_model(tmp_path, linear())
    (tmp_path / "net.sidecar.json").unlink()
    x = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    y = (x @ np.array(SOUND)).argmax(1).astype(float)
    columns = {"x": x.tolist(), "y": [None, *y[1:].tolist()], "t": [bool(v) for v in y]}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    for label, other in (("y", "t"), ("t", "y")):
        data = str(tmp_path / "rows.parquet")
        found = open_audit(model, data, label=label, ids=other, settings={}).subject
        assert accuracy(found) == 1.0


def test_classes_are_called_as_the_graph_says(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["": 18, "ai.onnx.ml": 3]>
        g (float[n, 4] x) => (int64[n] label, float[n, 3] p) {
            label, s = ai.onnx.ml.LinearClassifier <classlabels_ints = [1, 2, 3],
                coefficients = [1.0,0.0,0.0,0.0, 0.0,1.0,0.0,0.0, 0.0,0.0,1.0,0.0],
                intercepts = [0.0, 0.0, 0.0], post_transform = "SOFTMAX"> (x)
            p = Identity(s) }"""
    onnx.save(parser.parse_model(text), tmp_path / "net.onnx")
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=x, y=x[:, :3].argmax(1) + 1)
    found = open_audit(
        tmp_path / "net.onnx", str(tmp_path / "rows.npz"), label="y", settings={"output": "p"}
    ).subject
    assert found.labels == ("1", "2", "3") and accuracy(found) == 1.0


def pictures(folder: Path) -> Path:
    """A model of small pictures; those of a folder, of others' names, are bright or dark."""
    text = """<ir_version: 10, opset_import: ["": 18]>
        g (float[n, 1, 4, 4] image) => (float[n, 2] y)
        <float[16, 2] w = {LISTED}, float[2] b = {2000.0, 0.0}> {
            f = Flatten(image) z = MatMul(f, w) y = Add(z, b) }"""
    text = text.replace("LISTED", ", ".join(["0.0, 1.0"] * 16))
    onnx.save(parser.parse_model(text), folder / "net.onnx")
    image = {"kind": "image", "height": 4, "width": 4, "color": "gray"}
    about = {"inputs": {"image": image}, "outputs": {"y": {"labels": ["dark", "bright"]}}}
    (folder / "net.sidecar.json").write_text(json.dumps(about))
    rng = np.random.default_rng(0)
    for kind, low in (("bright", 150), ("dark", 0)):
        (folder / "photos" / kind).mkdir(parents=True)
        for i in range(6):
            shades = rng.integers(low, low + 100, (4, 4)).astype(np.uint8)
            Image.fromarray(shades).save(folder / "photos" / kind / f"{i}.png")
    return folder / "net.onnx"


def test_pictures_of_folders_and_of_a_table(tmp_path: Path) -> None:
    model = pictures(tmp_path)
    found = open_audit(model, str(tmp_path / "photos"), label="folder", settings={}).subject
    assert accuracy(found) == 1.0 and found.data.count == 12
    assert found.data.told(7) == {"row": 7, "input": "1.png"}
    (tmp_path / "photos" / "labels.csv").write_text(
        "file,kind,who\nbright/0.png,bright,a\ndark/3.png,,b\n"
    )
    table = str(tmp_path / "photos" / "labels.csv")
    found = open_audit(model, table, label="kind", ids=["who"], settings={}).subject
    assert found.data.labels is not None and found.data.labels.tolist() == ["bright", ""]
    assert found.data.told(1) == {"row": 1, "id": "b", "input": "dark/3.png"}


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small transformer's file, its tokenizer, and texts of several lengths."""
    monkeypatch.chdir(tmp_path)
    onnx.save(classifier(), "net.onnx")
    word_pieces(tmp_path)
    Path("texts.txt").write_text("\n".join(TEXTS * 5))
    Path("texts.jsonl").write_text(
        "\n".join(json.dumps({"text": t, "kind": "01"[i % 2]}) for i, t in enumerate(TEXTS * 5))
    )
    return tmp_path


def statuses(report: Report) -> dict[str, str]:
    return {finding.check.id: finding.status for finding in report.findings}


def test_texts_are_padded_and_their_places_are_no_features_of_all_rows(reader: Path) -> None:
    how: dict[str, Any] = {"tokenizer": "tokenizer.json", "settings": FEW}
    report = compare("net.onnx", "net.onnx", "texts.txt", **how)
    found = statuses(report)
    kept = ("answers-kept", "sample-drift", "sample-top-features", "prediction-drift")
    assert {found[name] for name in kept} == {"passed"} and report.exit_code == 0
    across = ("share-drift", "rank-drift", "reason-drift", "input-drift")
    assert {found[name] for name in across} == {"skipped"}
    assert any("places in texts" in reason for reason in report.skipped)
    rows = next(f for f in report.findings if f.check.id == "sample-drift").evidence["rows"]
    assert rows[0]["input"] in TEXTS and report.facts["features"] == []
    report = audit("net.onnx", "texts.jsonl", label="kind", groups=["kind"], **how)
    assert report.facts["labelled"] == 30 and "broken" not in statuses(report).values()
    assert statuses(report)["deletion"] in ("passed", "failed")
    assert statuses(report)["group-gap"] == "skipped"


def test_a_place_in_a_text_is_its_token_with_its_mask(reader: Path) -> None:
    opened = open_audit("net.onnx", "texts.txt", tokenizer="tokenizer.json", settings=FEW).subject
    data, features = opened.data, opened.features
    longest = data.feeds["input_ids"].shape[1]
    assert features.names == tuple(f"input_ids[{i}]" for i in range(longest))
    lengths = data.feeds["attention_mask"].sum(1)
    assert lengths.max() == longest and lengths.min() < longest
    short, long = int(lengths.argmin()), int(lengths.argmax())
    origin = np.full((1, longest), short)
    origin[0, -1] = long
    mixed = opened.mixed(origin)
    assert mixed["attention_mask"].sum() == lengths[short] + 1
    assert mixed["input_ids"][0, -1] == data.feeds["input_ids"][long, -1]
    alone = opened.explainer.explain(TEXTS[short % len(TEXTS)], tokenizer="tokenizer.json")
    wanted = opened.explain(data.rows(np.array([short])))
    np.testing.assert_allclose(
        wanted.scores[0], np.asarray(alone.outputs[alone.output])[0], rtol=1e-5
    )


def test_a_baseline_of_texts_knows_answers(reader: Path) -> None:
    how: dict[str, Any] = {"tokenizer": "tokenizer.json", "settings": FEW}
    made = Baseline.of(open_audit("net.onnx", "texts.txt", **how).subject)
    assert made.features == ()
    Path("base.json").write_text(made.text())
    found = statuses(audit("net.onnx", "texts.txt", baselines=["base.json"], **how))
    assert found["prediction-drift"] == "passed" and found["rank-drift"] == "skipped"


def test_texts_of_a_model_without_a_mask_are_of_one_length(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["": 18]>
        g (int64[n, t] input_ids) => (float[n, 2] y) <float[12, 2] w = {LISTED}> {
            e = Gather(w, input_ids) y = ReduceMean <keepdims = 0> (e, axes) }"""
    text = text.replace("LISTED", ", ".join(map(str, np.arange(24.0))))
    text = text.replace("(e, axes) }", "(e, a) }").replace("> {", ", int64[1] a = {1}> {", 1)
    onnx.save(parser.parse_model(text), tmp_path / "net.onnx")
    tokenizer = word_pieces(tmp_path)
    (tmp_path / "texts.txt").write_text("a good film\ngood\n")
    with pytest.raises(InputError, match="no attention mask"):
        open_audit(
            tmp_path / "net.onnx", str(tmp_path / "texts.txt"), tokenizer=tokenizer, settings={}
        )


def test_a_model_of_one_row_at_a_time_has_rows(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["": 18]>
        g (float[1, 4] x) => (float[1, 2] y) <float[4, 2] w = {LISTED}> { y = MatMul(x, w) }"""
    text = text.replace("LISTED", ", ".join(str(v) for row in SOUND for v in row))
    onnx.save(parser.parse_model(text), tmp_path / "one.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    report = audit(tmp_path / "one.onnx", str(tmp_path / "x.npy"), settings=FEW)
    assert report.facts["data"]["rows"] == 20 and "broken" not in statuses(report).values()


def test_the_other_models_sidecar_is_taken_and_told(tmp_path: Path) -> None:
    old = write_model(tmp_path, linear(A), "old")
    new = write_model(tmp_path, linear(B), "new")
    rows = str(write_rows(tmp_path, 50))
    wanted = compare(old, new, rows, label="answer", settings=FEW)
    (tmp_path / "new.sidecar.json").unlink()
    report = compare(old, new, rows, label="answer", settings=FEW)
    assert statuses(report) == statuses(wanted)
    (note,) = [n for n in report.facts["notes"] if "sidecar" in n["text"]]
    assert note["text"].startswith(f"{new} has no sidecar of its own, and is read with ")
    assert report.title == f"Comparison of {new} with {old}"


def test_features_that_only_one_model_has_are_named(tmp_path: Path) -> None:
    old = write_model(tmp_path, linear(A), "old")
    new = write_model(tmp_path, linear(B), "new")
    file = tmp_path / "new.sidecar.json"
    file.write_text(file.read_text().replace('"c"', '"answer"'))
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,c,leak,answer\n" + "1,2,3,4,5\n" * 20)
    with pytest.raises(InputError, match=r"only .*old\.onnx has c; only .*new\.onnx has answer"):
        compare(old, new, str(rows), settings=FEW)


def test_pictures_that_are_compared_with_blurred_ones_are_so_in_both_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = """<ir_version: 10, opset_import: ["": 18]>
        g (float[n, 1, 8, 8] image) => (float[n, 2] y)
        <float[2, 1, 3, 3] k = {LISTED}> {
            c = Conv <pads = [1, 1, 1, 1]> (image, k) r = Relu(c) m = GlobalMaxPool(r)
            y = Flatten(m) }"""
    rng = np.random.default_rng(0)
    text = text.replace("LISTED", ", ".join(map(str, rng.normal(size=18).round(3))))
    pictures(tmp_path)
    onnx.save(parser.parse_model(text), "net.onnx")
    sidecar = Path("net.sidecar.json")
    sidecar.write_text(sidecar.read_text().replace("4", "8"))
    report = compare("net.onnx", "net.onnx", "photos", settings={})
    assert report.facts["mode"] == "deeplift" and report.exit_code == 0
    assert statuses(report)["sample-drift"] == statuses(report)["layer-drift"] == "passed"
    found = open_audit("net.onnx", "photos", settings={}).subject
    made = Baseline.of(found)
    assert (made.mode, made.compared) == ("deeplift", "blur")
    Path("base.json").write_text(made.text())
    assert verify("base.json", model="net.onnx", data=["photos"]).same
    with pytest.raises(InputError, match="of mode deeplift, compared with blur, and this is deepl"):
        audit("net.onnx", "photos", baselines=["base.json"], settings={"mode": "deeplift"})


def test_numbers_of_another_type_are_those_of_the_model(tmp_path: Path) -> None:
    model = write_model(tmp_path, linear())
    x = np.random.default_rng(0).normal(size=(20, 4))
    np.save(tmp_path / "x.npy", x)
    report = audit(model, str(tmp_path / "x.npy"), settings=FEW)
    assert statuses(report)["forward-parity"] == "passed"
    x[7, 2] = np.inf
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match=r"x\.npy: row 8: input 'x' holds NaN or Inf, .*\(2,\)"):
        audit(model, str(tmp_path / "x.npy"), settings=FEW)
