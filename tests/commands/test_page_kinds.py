"""Pages of `explain --html` for models of every kind: boxes, letters, tokens, words, sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.commands.test_entry_parts import speller
from tests.commands.test_entry_parts import written as written_detector
from tests.commands.test_target_options import reviewer, speaker
from tests.inputs.test_series import sound
from tests.report.page.pages import Parsed, parsed

__all__ = ["reviewer", "speaker"]  # fixtures


@pytest.fixture
def page(run: Any, tmp_path: Path) -> Any:
    """What a command's page holds."""

    def make(*arguments: Any) -> Parsed:
        file = tmp_path / "page.html"
        code, _, err = run("explain", *arguments, "--html", file)
        assert (code, err) == (0, "")
        return parsed(file.read_text("utf-8"))

    return make


def picked(page: Parsed) -> list[str]:
    """The answers that the pickers offer."""
    return [e.text.strip() for e in page.all("span", class_="name") if e in labels(page)]


def labels(page: Parsed) -> list[Any]:
    """The elements inside of a picker's labels."""
    found, inside = [], False
    for e in page.elements:
        inside = e.tag == "label" or (inside and e.tag in ("input", "span", "bdi", "svg", "rect"))
        if inside:
            found.append(e)
    return found


def test_boxes_of_a_picture(page: Any, tmp_path: Path) -> None:
    model, picture = written_detector(tmp_path)
    made = page(model, picture, "--target", "10,cat", "--target", "5,2")
    assert len(made.all("section", class_="sample")) == 1
    assert [name.partition(",")[2] for name in picked(made)] == [" box 10", " box 5"]
    boxes = made.all("rect", class_="outline")
    assert len({(b.attributes["x"], b.attributes["y"]) for b in boxes}) == 2
    assert len([e for e in made.all("image") if "id" in e.attributes]) == 1


def test_letters_of_a_word(page: Any, tmp_path: Path) -> None:
    onnx.save(speller(), tmp_path / "s.onnx")
    meaning = {"task": "ctc", "labels": ["-", "h", "i"]}
    (tmp_path / "s.sidecar.json").write_text(json.dumps({"outputs": {"y": meaning}}))
    x = np.zeros((1, 3, 6), np.float32)
    x[0, [0, 1, 1, 0, 2, 0], range(6)] = [5, 4, 6, 5, 4, 5]
    np.save(tmp_path / "x.npy", x)
    made = page(tmp_path / "s.onnx", tmp_path / "x.npy")
    assert picked(made) == ["h, step 2", "i, step 4"]
    (title,) = made.all("h1")
    assert title.text.strip().startswith("x.npy “hi”")


def test_tokens_of_a_continuation(page: Any, speaker: Path) -> None:
    made = page(speaker, "so", "--continuation", " good!")
    assert picked(made) == ["' good'", "'!'"]
    assert [e.text for e in made.all("p", class_="text")] == ["so", "so good"]


def test_words_of_two_texts(page: Any, reviewer: Path) -> None:
    made = page(reviewer, "a good film", "bad", "--targets", "all", "--mode", "lrp")
    assert len(made.all("section", class_="sample")) == 2
    told = [e.text for e in made.all("p", class_="text")]
    assert told == ["a good film"] * 2 + ["bad"] * 2
    titles = [e.attributes["title"] for e in made.all("span") if "title" in e.attributes]
    assert titles and all("%" in title for title in titles)


def test_a_sound_and_its_spectrogram(page: Any, tmp_path: Path) -> None:
    hearing = {"kind": "spectrogram", "rate": 16000, "n_fft": 400, "hop": 160, "mels": 16}
    tensors = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16, "t"]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2]),
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [16, 2], np.linspace(-1, 1, 32))
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", tensors[:1], tensors[1:], [weight])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
    (tmp_path / "m.sidecar.json").write_text(json.dumps({"inputs": {"x": hearing}}))
    rate = 16000
    wave = (0.4 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate) * 32767).astype("<i2")
    made = page(tmp_path / "m.onnx", sound(tmp_path / "a.wav", wave.tobytes(), rate=rate))
    assert [e.text for e in made.all("figcaption")][:2] == ["input", "relevance"]
    assert {"500 Hz", "1 kHz"} <= {e.text for e in made.all("text")}
    assert any("Hz" in e.text for e in made.all("th"))
