"""The command `export`: every kind of source, and how it says no."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.cli import main

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter.*:UserWarning"),
]
NET = """
import torch

def make():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)]
    return torch.nn.Sequential(*layers), torch.randn(2, 4)

def alone():
    return make()[0]

def broken():
    raise ValueError("no weights")
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def runner(*arguments: Any) -> tuple[int, str, str]:
        code = main(["export", *map(str, arguments), "-o", "m.onnx"])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return runner


def imported(*names: str) -> Any:
    """Modules of the extra, or a skipped test."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [pytest.importorskip(name) for name in names]
    return found[0]


def test_a_torch_script(run: Any, tmp_path: Path) -> None:
    imported("torch", "onnxscript")
    (tmp_path / "net.py").write_text(NET)
    code, out, _ = run("net.py:make")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "wrote m.onnx (torch (dynamo), opset 20)"
    assert lines[1].endswith("input input float32[batch, 4]")
    assert lines[3].startswith("Verified on 5 inputs: onnxruntime differs by at most ")
    assert lines[4] == "Every node that relevance can meet has a rule."
    code, _, err = run("net.py:alone")
    assert code == 2 and "return (module, example), or give --example" in err
    np.save(tmp_path / "x.npy", np.ones((3, 4), np.float32))
    options = ("--static", "--exporter", "legacy", "--no-verify", "--json")
    code, out, _ = run("net.py:alone", "--example", "x.npy", *options)
    record = json.loads(out)
    assert code == 0 and record["explainable"] and not record["verified"]
    assert record["inputs"] == {"input": "float32[3, 4]"} and record["difference"] is None
    code, out, _ = run("net.py:make", "--exporter", "legacy", "--no-verify")
    assert "Not verified" in out
    code, _, err = run("net.py:broken")
    assert code == 3 and "net.py:broken: ValueError: no weights" in err
    code, _, err = run("net.py:absent")
    assert code == 2 and "has no function 'absent'" in err


def test_a_pickle_is_loaded_only_when_allowed(run: Any, tmp_path: Path) -> None:
    imported("sklearn", "skl2onnx")
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(0).standard_normal((40, 3))
    model = LogisticRegression().fit(x, x[:, 0] > 0)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    code, _, err = run("m.pkl")
    assert code == 2 and "runs whatever code is in it" in err and "--allow-pickle" in err
    code, out, _ = run("m.pkl", "--allow-pickle")
    assert code == 0 and "input features float32[batch, 3]" in out
    np.savez(tmp_path / "x.npz", rows=x[:4])
    code, out, _ = run("m.pkl", "--allow-pickle", "--example", "x.npz", "--opset", 17)
    assert code == 0 and "opset 17" in out
    (tmp_path / "bad.joblib").write_bytes(b"rubbish")
    code, _, err = run("bad.joblib", "--allow-pickle")
    assert code == 3 and "cannot be loaded" in err


def test_tensorflow_files(run: Any, tmp_path: Path) -> None:
    tf = imported("tensorflow", "tf2onnx")
    keras = imported("keras")
    keras.utils.clear_session()
    inputs = keras.Input((4,), name="features")
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(inputs))
    model.save(tmp_path / "m.keras")
    code, out, _ = run("m.keras")
    assert code == 0 and "output logits float32" in out
    model.export(tmp_path / "saved", verbose=False)
    code, out, _ = run("saved", "--signature", "serving_default")
    assert code == 0 and "(tf2onnx (SavedModel), opset 18)" in out
    lite = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert()
    (tmp_path / "m.tflite").write_bytes(lite)
    np.save(tmp_path / "x.npy", np.ones((3, 4), np.float32))
    code, out, _ = run("m.tflite", "--example", "x.npy")
    assert code == 0 and "input features float32[batch, 4]" in out
    (tmp_path / "net.py").write_text(
        "import keras\ndef make():\n    return keras.saving.load_model('m.keras')\n"
    )
    assert run("net.py:make")[0] == 0
    (tmp_path / "bad.keras").write_bytes(b"rubbish")
    code, _, err = run("bad.keras")
    assert code == 3 and "Keras does not load it" in err


def test_a_transformers_folder(run: Any, tmp_path: Path) -> None:
    imported("torch", "onnxscript", "transformers")
    import transformers

    config = transformers.BertConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        vocab_size=20,
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    code, out, _ = run("bert", "--task", "feature-extraction")
    assert code == 0 and "output last_hidden_state float32[batch, sequence, 8]" in out
    code, _, err = run("bert")
    assert code == 3 and "task is one of" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent",), "no such file or folder; SOURCE is module.py:factory"),
        (("absent.py:make",), "no such file; SOURCE is"),
        (("notes.txt",), "is nothing that can be exported"),
        (("empty",), "neither a SavedModel nor a transformers model"),
        (("notes.txt", "--task", "fill-mask"), "--task is for folders of transformers models"),
        (("m.tflite", "--exporter", "legacy"), "--exporter does not apply to m.tflite"),
        (("m.tflite", "--static"), "--static does not apply to m.tflite"),
        (("m.tflite", "--example", "notes.txt"), "--example takes .npy or .npz files"),
    ],
)
def test_wrong_use(run: Any, tmp_path: Path, arguments: Any, words: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("notes.txt", "m.tflite"):
        (tmp_path / name).write_text("text")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and words in err
    assert not (tmp_path / "m.onnx").exists()
