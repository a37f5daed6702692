"""Outputs of language models are known as such, and explained where each text ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import Contrast, Explainer, Explanation
from backtrace_onnx.cli import main
from backtrace_onnx.targets.language_models import default_task, find_tokens
from tests.graphs import FLOAT, INT64, Array, model, node, normal
from tests.text.made import byte_pairs, language_model

SIZE = 20
ENGINES = ("numba", "onnxruntime")
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
TEXTS = ([3, 1, 4, 1, 5], [9, 2], [6, 5, 3])
LANGUAGE = language_model(size=SIZE)


def padded(side: str) -> dict[str, Array]:
    """The texts as one batch, padded on a side, and its mask."""
    ids, mask = np.zeros((3, 5), np.int64), np.zeros((3, 5), np.int64)
    for k, text in enumerate(TEXTS):
        at = slice(0, len(text)) if side == "right" else slice(5 - len(text), None)
        ids[k, at], mask[k, at] = text, 1
    return {"input_ids": ids, "attention_mask": mask}


def alone(explainer: Explainer, text: list[int], **options: Any) -> Explanation:
    ids = np.array([text])
    return explainer.explain({"input_ids": ids, "attention_mask": np.ones_like(ids)}, **options)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("target", [None, 7, (-2, 7)])
def test_a_padded_text_gets_what_it_gets_alone(
    side: str, mode: str, engine: Any, target: Any
) -> None:
    explainer, feeds = Explainer(LANGUAGE, engine=engine), padded(side)
    if target == (-2, 7) and side == "left":
        target = (4, 7)  # one place for all texts, which end alike
    together = explainer.explain(feeds, mode=mode, target=target)
    assert together.task == "generation" and together.target is not None
    for k, text in enumerate(TEXTS):
        own = alone(explainer, text, mode=mode, target=(-1, 7) if target == (4, 7) else target)
        real = feeds["attention_mask"][k] == 1
        relevance = together.relevance["input_ids"][k]
        wanted = own.relevance["input_ids"][0]
        assert np.abs(relevance[real] - wanted).max() < 1e-6 * max(1, np.abs(wanted).max())
        assert not relevance[~real].any()
        assert own.target is not None and together.target[k, 1] == own.target[0, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_contrast_of_padded_texts(engine: Any) -> None:
    explainer, feeds = Explainer(LANGUAGE, engine=engine), padded("right")
    together = explainer.explain(feeds, start=Contrast(7, 2))
    for k, text in enumerate(TEXTS):
        own = alone(explainer, text, start=Contrast(7, 2)).relevance["input_ids"][0]
        assert np.abs(together.relevance["input_ids"][k, : len(text)] - own).max() < 1e-6


@pytest.mark.parametrize("target", [None, -1, 7])
def test_a_compiled_language_model_explains_where_texts_end(
    tmp_path: Path, target: int | None
) -> None:
    explainer, feeds = Explainer(LANGUAGE), padded("right")
    explainer.compile(tmp_path / "c.onnx")
    session = ort.InferenceSession(tmp_path / "c.onnx")
    asked = {} if target is None else {"target": np.array([[[-1, target]]])}
    (got,) = session.run(["relevance/input_ids"], {**feeds, **asked})
    want = explainer.explain(feeds, target=target).relevance["input_ids"]
    assert np.abs(got - want).max() < 1e-6
    explainer.compile(tmp_path / "f.onnx", target=7)
    fixed = ort.InferenceSession(tmp_path / "f.onnx")
    (got,) = fixed.run(["relevance/input_ids"], feeds)
    assert np.abs(got - explainer.explain(feeds, target=7).relevance["input_ids"]).max() < 1e-6


def reader(
    rows: int,
    classes: int,
    *,
    second: str | None = None,
    ids: tuple[Any, ...] = ("batch", "tokens"),
) -> onnx.ModelProto:
    """Embeddings of `rows` ids, and as many classes of each; perhaps another input, unused."""
    more: dict[str, Any] = {}
    nodes = [node("Gather", ["table", "ids"], ["e"]), node("MatMul", ["e", "head"], ["y"])]
    if second == "mask":
        more = {"padding_mask": (FLOAT, ids)}
    elif second == "lengths":
        more = {"lengths": (INT64, ids[:1])}
    if more:
        nodes.append(node("Identity", [next(iter(more))], ["same"]))
    outputs: dict[str, Any] = {"y": (FLOAT, (*ids, classes))}
    weights = {"table": normal(rows, 4), "head": normal(4, classes, seed=1)}
    return model(nodes, {"ids": (INT64, ids), **more}, outputs, weights)


@pytest.mark.parametrize(
    ("rows", "classes", "task"),
    [
        (50, 50, "generation"),
        (50, 9, "classification"),
        (1200, 1280, "generation"),
        (3000, 1100, "classification"),
        (3000, 768, "classification"),
    ],
)
@pytest.mark.parametrize("ids", [("batch", "tokens"), (2, 5)])
def test_what_is_a_language_model(rows: int, classes: int, task: str, ids: tuple[Any, ...]) -> None:
    explainer = Explainer(reader(rows, classes, ids=ids))
    x = np.arange(10).reshape(2, 5)
    made = explainer.explain(x)
    assert made.task == task
    told = [n.text for n in made.notes if "for every token of 'ids'" in n.text]
    assert len(told) == 1 and f"{classes} classes" in told[0]
    assert made.target is not None
    assert made.target.shape == ((2, 2) if task == "generation" else (2,))
    asked = explainer.explain(x, task="classification")
    assert asked.task == "classification"
    assert not any("for every token" in n.text for n in asked.notes)


def test_what_has_no_tokens_is_none() -> None:
    boxes = model(
        [node("Identity", ["x"], ["y"])],
        {"x": (FLOAT, ["N", 5, 2000])},
        {"y": (FLOAT, ["N", 5, 2000])},
    )
    graph = Explainer(boxes).graph
    assert find_tokens(graph, "y") is None
    assert default_task(graph, "y") == ("classification", ())


@pytest.mark.parametrize("second", ["mask", "lengths"])
@pytest.mark.parametrize("engine", ENGINES)
def test_masks_of_other_names_and_lengths(second: str, engine: Any) -> None:
    explainer = Explainer(reader(50, 50, second=second), engine=engine)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    more = mask.astype(np.float32) if second == "mask" else mask.sum(1)
    name = "padding_mask" if second == "mask" else "lengths"
    made = explainer.explain({"ids": np.arange(20).reshape(4, 5), name: more})
    assert made.target is not None
    assert made.target[:, 0].tolist() == [2, 4, 0, 4]
    assert np.argwhere(made.relevance["ids"]).tolist() == [[0, 2], [1, 4], [2, 0], [3, 4]]


TABLE, HEAD = normal(50, 4), normal(4, 9, seed=1)
PAD = int((TABLE @ HEAD).max(1).argmax())  # an id whose label is surer than that of any other
IDS = np.array([[1, 2, 3, PAD, PAD], [4, 5, 6, 7, 8], [PAD, PAD, 9, 10, PAD], [PAD] * 5])
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]])


def tags(second: str) -> tuple[dict[str, Array], Array]:
    """Feeds of texts padded at either side, and the best entries [samples] of their tokens."""
    mask = MASK if second == "mask" else (np.arange(5) < MASK.sum(1)[:, None]) * 1
    more = {"padding_mask": mask.astype(np.float32)} if second == "mask" else {}
    more = more or {"lengths": mask.sum(1)}
    real = mask.astype(bool) | ~mask.astype(bool).any(1, keepdims=True)
    y = np.where(real[:, :, None], TABLE[IDS] @ HEAD, -np.inf)
    return {"ids": IDS, **more}, y.reshape(4, -1).argmax(1)


@pytest.mark.parametrize("second", ["mask", "lengths"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_surest_label_is_that_of_a_token(second: str, mode: str, engine: Any) -> None:
    explainer = Explainer(reader(50, 9, second=second), engine=engine)
    feeds, best = tags(second)
    made = explainer.explain(feeds, mode=mode)
    assert made.task == "classification" and made.target is not None
    assert made.target.tolist() == best.tolist()
    assert [at.tolist() for at in np.argwhere(made.relevance["ids"])] == [
        [k, int(entry) // 9] for k, entry in enumerate(best)
    ]
    named = explainer.explain(feeds, mode=mode, target=best)
    assert np.array_equal(named.relevance["ids"], made.relevance["ids"])
    padding = explainer.explain(feeds, mode=mode, target=(4, 2))  # may be asked for all the same
    assert np.argwhere(padding.relevance["ids"])[:, 1].tolist() == [4] * 4
    for k in range(4):
        one = {name: x[k : k + 1] for name, x in feeds.items()}
        alone = explainer.explain(one, mode=mode)
        assert np.array_equal(alone.relevance["ids"][0], made.relevance["ids"][k])


@pytest.mark.parametrize("second", ["mask", "lengths"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("task", [None, "bbox"])
def test_a_compiled_file_explains_the_surest_label_of_a_token(
    second: str, mode: str, task: str | None, tmp_path: Path
) -> None:
    explainer, (feeds, best) = Explainer(reader(50, 9, second=second)), tags(second)
    explainer.compile(tmp_path / "c.onnx", mode=mode, task=task, target="required")
    explainer.compile(tmp_path / "n.onnx", mode=mode, task=task, target=None)
    want = explainer.explain(feeds, mode=mode, task=task)
    assert want.target is not None and want.target.tolist() == best.tolist()
    session = ort.InferenceSession(tmp_path / "c.onnx")
    for target, entry in ((np.array([-1]), None), (np.array([-1, 40, -1, 3]), [40, 3])):
        (got,) = session.run(["relevance/ids"], {**feeds, "target": target})
        asked = best if entry is None else np.array([best[0], 40, best[2], 3])
        made = explainer.explain(feeds, mode=mode, task=task, target=asked)
        assert np.abs(got - made.relevance["ids"]).max() < 1e-6
    (got,) = ort.InferenceSession(tmp_path / "n.onnx").run(["relevance/ids"], feeds)
    assert np.abs(got - want.relevance["ids"]).max() < 1e-6


def test_the_report_predicts_the_label_of_a_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(reader(50, 9, second="mask"), tmp_path / "m.onnx")
    feeds, best = tags("mask")
    asked = ["explain", str(tmp_path / "m.onnx"), "--json"]
    for name, array in feeds.items():
        np.save(tmp_path / f"{name}.npy", array)
        asked.append(f"{name}={tmp_path / f'{name}.npy'}")
    assert main(asked) == 0
    for sample, entry in zip(json.loads(capsys.readouterr().out)["samples"], best, strict=True):
        place = [int(entry) // 9, int(entry) % 9]
        assert sample["prediction"]["index"] == sample["target"]["index"] == place


def test_the_report_says_so_with_and_without_a_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(language_model(), tmp_path / "m.onnx")
    for name, x in (("ids", [[3, 1, 4, 0]]), ("mask", [[1, 1, 1, 0]])):
        np.save(tmp_path / f"{name}.npy", np.array(x))
    fed = [f"input_ids={tmp_path / 'ids.npy'}", f"attention_mask={tmp_path / 'mask.npy'}"]
    spoken = ["good", "--tokenizer", str(byte_pairs(tmp_path))]
    for inputs in (fed, spoken):
        assert main(["explain", str(tmp_path / "m.onnx"), *inputs, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["task"] == "generation"
        (sample,) = found["samples"]
        assert sum("language model's" in note for note in sample["notes"]) == 1
    assert main(["explain", str(tmp_path / "m.onnx"), *fed, "--json", "--target", "7"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    assert sample["target"]["index"] == [2, 7]


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_report_of_a_contrast_tells_the_position_of_each_texts_end(
    side: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(LANGUAGE, tmp_path / "m.onnx")
    feeds, asked = padded(side), ["explain", str(tmp_path / "m.onnx")]
    for name, array in feeds.items():
        np.save(tmp_path / f"{name}.npy", array)
        asked.append(f"{name}={tmp_path / f'{name}.npy'}")
    assert main([*asked, "--target", "3", "--rather-than", "5", "--json"]) == 0
    samples = json.loads(capsys.readouterr().out)["samples"]
    ends = [5, 5, 5] if side == "left" else [5, 2, 3]
    assert [s["target"]["index"] for s in samples] == [[end - 1, 3] for end in ends]
    assert [s["other"]["index"] for s in samples] == [[end - 1, 5] for end in ends]
