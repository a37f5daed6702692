"""Texts on the command line and in sidecars."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explanation, explain
from backtrace_onnx.cli import main
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.text.inputs import TextInput
from tests.text.made import SIZE, byte_pairs, classifier, language_model, word_pieces


@pytest.fixture
def run(capsys: Any) -> Any:
    def runner(*arguments: Any) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return runner


def written(folder: Path, proto: onnx.ModelProto, inputs: Any, outputs: Any) -> Path:
    onnx.save(proto, folder / "m.onnx")
    content = {"inputs": inputs, "outputs": outputs}
    (folder / "m.sidecar.json").write_text(json.dumps(content))
    return folder / "m.onnx"


@pytest.fixture
def reviewer(tmp_path: Path) -> Path:
    word_pieces(tmp_path)
    outputs = {"logits": {"task": "classification", "labels": ["bad", "good"]}}
    entry = {"kind": "text", "tokenizer": "tokenizer.json", "max_length": 12}
    return written(tmp_path, classifier(), {"input_ids": entry}, outputs)


@pytest.fixture
def speaker(tmp_path: Path) -> Path:
    byte_pairs(tmp_path)
    entry = {"kind": "text", "tokenizer": "bytes.json"}
    outputs = {"logits": {"task": "generation"}}
    return written(tmp_path, language_model(cache=True), {"input_ids": entry}, outputs)


def test_a_text(run: Any, reviewer: Path) -> None:
    code, out, err = run("explain", reviewer, "good films!")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("good films!: ")
    assert "good films !" in lines
    assert any(line.startswith("special tokens: [CLS] ") for line in lines)
    assert any(line.split()[:1] == ["film"] for line in lines)


def test_several_texts_and_words(run: Any, reviewer: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a good film\n\n  \nbad films\n", "utf-8")
    code, out, _ = run("explain", reviewer, f"@{tmp_path / 'texts.txt'}", "good!", "--words")
    assert code == 0
    for head in ("a good film: ", "bad films: ", "good!: "):
        assert sum(line.startswith(head) for line in out.splitlines()) == 1
    assert "padding: 1 tokens, no relevance" in out
    assert any(line.split()[:1] == ["films"] for line in out.splitlines())


@pytest.mark.parametrize(
    "text", ["text=@good", "text=a=b.npy", "input_ids=good", "x=good", "a.npy b"]
)
def test_whatever_a_text_looks_like(run: Any, reviewer: Path, text: str) -> None:
    code, out, _ = run("explain", reviewer, text)
    assert code == 0 and out.startswith(text.removeprefix("text=").removeprefix("input_ids="))


def test_arrays_still_go(run: Any, reviewer: Path, tmp_path: Path) -> None:
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        np.save(tmp_path / f"{name}.npy", np.ones((1, 3), np.int64))
    names = ("input_ids", "attention_mask", "token_type_ids")
    code, out, _ = run("explain", reviewer, *(f"{n}={tmp_path / f'{n}.npy'}" for n in names))
    assert code == 0 and "[UNK]" in out


def test_json_and_a_folder(run: Any, reviewer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed, _ = run("explain", reviewer, "good <b>film", "--json", "--out", out)
    assert code == 0
    (sample,) = json.loads(printed)["samples"]
    assert {part["input"] for part in sample["top"]} == {"input_ids"}
    assert sample["prediction"]["label"] in ("bad", "good")
    names = {file.name for file in out.iterdir()}
    assert {"relevance.png", "relevance.html", "report.json", "explanation.npz"} <= names
    assert "<b>" not in (out / "relevance.html").read_text("utf-8")


def test_one_class_rather_than_another(run: Any, reviewer: Path) -> None:
    versus = ("--target", "good", "--rather-than", "bad")
    code, out, _ = run("explain", reviewer, "good film", *versus)
    assert code == 0
    assert " rather than bad (" in out.splitlines()[0] and "mode auto picked" in out
    assert "mode contrastive" not in out
    code, out, _ = run("explain", reviewer, "good film", *versus, "--mode", "contrastive")
    assert code == 0 and "mode contrastive" in out
    code, out, _ = run("explain", reviewer, "good film", *versus, "--mode", "default")
    assert code == 0 and "mode default" in out
    (sample,) = json.loads(run("explain", reviewer, "good film", *versus, "--json")[1])["samples"]
    assert (sample["target"]["label"], sample["other"]["label"]) == ("good", "bad")


def test_a_tokenizer_without_sidecar(run: Any, reviewer: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(reviewer, bare / "m.onnx")
    code, _, err = run("explain", bare / "m.onnx", "good film")
    assert code == 2 and "inputs are .npy" in err
    code, out, _ = run(
        "explain", bare / "m.onnx", "good film", "--tokenizer", tmp_path / "tokenizer.json"
    )
    assert code == 0 and out.startswith("good film: class ")


def test_the_next_token(run: Any, speaker: Path) -> None:
    code, out, err = run("explain", speaker, "so good")
    assert (code, err) == (0, "")
    assert out.startswith("so good: '") and "mode attnlrp" in out
    code, out, _ = run("explain", speaker, "so good", "--token", " good")
    assert code == 0 and "' good' (" in out.splitlines()[0]
    code, out, _ = run("explain", speaker, "so good", "--token", " good", "--rather-than", "!")
    assert code == 0 and " rather than '!' (" in out.splitlines()[0]
    assert "mode attnlrp" in out


def test_the_next_token_of_texts_of_different_length(run: Any, speaker: Path) -> None:
    together = json.loads(run("explain", speaker, "so good", "so", "--token", "!", "--json")[1])
    for sample, text in zip(together["samples"], ("so good", "so"), strict=True):
        (alone,) = json.loads(run("explain", speaker, text, "--token", "!", "--json")[1])["samples"]
        assert sample["target"]["value"] == pytest.approx(alone["target"]["value"], abs=1e-5)
        want = {part["name"]: part["relevance"] for part in alone["top"]}
        got = {part["name"]: part["relevance"] for part in sample["top"]}
        assert got == pytest.approx(want, abs=1e-5)


def test_a_continuation(run: Any, speaker: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed, _ = run("explain", speaker, "so", "--continuation", " good!", "--out", out)
    assert code == 0
    rows = [line for line in printed.splitlines() if line.startswith("'")]
    assert [row.split(" (")[0] for row in rows] == ["' good'", "'!'"]
    assert [row.split(")")[1].strip() for row in rows] == ["so", "so good"]
    names = {file.name for file in out.iterdir()}
    assert names == {"report.json", "explanation.npz", "relevance.png", "relevance.html"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("so", "--token", "two words"), "is not one token but"),
        (("so", "--continuation", ""), "does not follow 'so' as tokens of its own"),
        (("so g", "--continuation", "ood"), "begin it with a space"),
        (("@none.txt",), "none.txt: cannot be read"),
        (("ids.npy",), "ids.npy: no such file"),
    ],
)
def test_errors_of_language_models(
    run: Any, speaker: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, _, err = run("explain", speaker, *arguments)
    assert code == 2 and words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("good", "--token", "film"), "--continuation are for language models"),
        (("good", "--rather-than", "ugly"), "neither an index nor a label"),
        (("good " * 20,), "has 22 tokens; the model reads at most 12"),
    ],
)
def test_errors_of_classifiers(
    run: Any, reviewer: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, _, err = run("explain", reviewer, *arguments)
    assert code == 2 and words in err


def test_what_a_model_takes(run: Any, reviewer: Path) -> None:
    code, _, err = run("explain", reviewer)
    assert code == 2 and "a text in quotes, or @FILE" in err
    code, out, _ = run("inspect", reviewer)
    assert code == 0 and "a text in quotes" in out


def test_a_tokenizer_that_is_missing(run: Any, reviewer: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").unlink()
    code, _, err = run("explain", reviewer, "good")
    assert code == 2 and "tokenizer.json: no such file" in err


def loaded(folder: Path, **keys: Any) -> TextInput:
    path = folder / "s.sidecar.json"
    entry = {"kind": "text", "tokenizer": "tokenizer.json", **keys}
    path.write_text(json.dumps({"inputs": {"ids": entry}}))
    found = Sidecar.load(path).inputs["ids"]
    assert isinstance(found, TextInput)
    return found


def test_a_sidecar(tmp_path: Path) -> None:
    entry = loaded(tmp_path, length=8, truncate=True, special_tokens=False, mask="m", types="t")
    assert entry.source == tmp_path / "tokenizer.json"
    assert (entry.name, entry.length, entry.truncate, entry.special) == ("ids", 8, True, False)
    assert (entry.given.mask, entry.given.types, entry.given.positions) == ("m", "t", None)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"tokenizer": ""}, r"inputs\.ids\.tokenizer: must be a text"),
        ({"length": 0}, r"inputs\.ids\.length: must be a whole number of at least 1"),
        ({"truncate": "yes"}, r"inputs\.ids\.truncate: must be true or false, not 'yes'"),
        ({"maxlength": 3}, r"inputs\.ids\.maxlength: unknown key"),
    ],
)
def test_sidecars_that_are_wrong(tmp_path: Path, keys: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        loaded(tmp_path, **keys)


def test_a_sidecar_encodes_no_texts_by_itself(reviewer: Path) -> None:
    sidecar = Sidecar.beside(reviewer)
    assert sidecar is not None
    with pytest.raises(InputError, match=r"is a text, which makes several inputs"):
        sidecar.encode("input_ids", "good")


def test_plotting_a_text(run: Any, reviewer: Path, tmp_path: Path) -> None:
    made = explain(reviewer, "good <i>film", tokenizer=tmp_path / "tokenizer.json")
    sidecar = tmp_path / "m.sidecar.json"
    made.plot(tmp_path / "p.png", sidecar=sidecar)
    made.plot(tmp_path / "p.html", sidecar=sidecar)
    assert "<i>" not in (tmp_path / "p.html").read_text("utf-8").partition("<h1>")[2]
    made.save(tmp_path / "e.npz")
    Explanation.load(tmp_path / "e.npz").plot(tmp_path / "again.html", sidecar=sidecar)
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "p.html").read_bytes()
    with pytest.raises(RequestError, match="no input is a text"):
        made.plot(tmp_path / "q.html")


def test_the_vocabulary_fits_the_output() -> None:
    assert language_model().graph.output[0].type.tensor_type.shape.dim[2].dim_value > SIZE
