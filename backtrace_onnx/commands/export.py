"""What the command `export` does: find out what a source is, export it, and tell."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtrace_onnx import exporters
from backtrace_onnx.commands.inspect import Inspection, inspect, verdict
from backtrace_onnx.errors import ExportError, RequestError
from backtrace_onnx.exporters.extras import need
from backtrace_onnx.model.sessions import first_line

if TYPE_CHECKING:
    from backtrace_onnx.exporters import Exported

KINDS = (
    "module.py:factory, a .keras or .h5 file, a SavedModel folder, a .tflite file, the folder of a "
    "transformers model, or with --allow-pickle a .pkl or .joblib file"
)
_PICKLES = (".pkl", ".pickle", ".joblib")


@dataclass(frozen=True)
class ExportOptions:
    """What the command line asks for; None where the exporter decides."""

    source: str
    file: Path
    example: Path | None = None
    task: str | None = None
    opset: int | None = None
    exporter: str | None = None
    signature: str | None = None
    tolerance: float | None = None
    static: bool = False
    verify: bool = True
    allow_pickle: bool = False

    def options(self, *names: str) -> dict[str, Any]:
        """The options that an exporter takes; raises RequestError for given ones it does not."""
        given = {"opset": self.opset, "exporter": self.exporter, "signature": self.signature}
        given |= {"dynamic": False if self.static else None}
        strange = [k for k, v in given.items() if v is not None and k not in names]
        if strange:
            shown = ", ".join("--static" if k == "dynamic" else f"--{k}" for k in strange)
            raise RequestError(f"{shown} does not apply to {self.source}")
        chosen = {k: v for k, v in given.items() if v is not None}
        return {**chosen, "verify": self.verify, "tolerance": self.tolerance}


def export(asked: ExportOptions) -> Exported:
    """Export a model from whatever the source is: a script, a file or a folder of a framework.

    Raises RequestError for a source of no known kind, ExportError where the export fails.
    """
    path = Path(asked.source)
    if asked.task is not None and not (path / "config.json").is_file():
        raise RequestError("--task is for folders of transformers models")
    if ".py:" in asked.source:
        return _export_factory(asked)
    if path.is_dir():
        return _export_folder(asked, path)
    if not path.is_file():
        raise RequestError(f"{path}: no such file or folder; SOURCE is {KINDS}")
    if path.suffix in (".keras", ".h5", ".hdf5"):
        options = asked.options("opset")
        return exporters.from_keras(_load_keras(path), asked.file, example=_one(asked), **options)
    if path.suffix == ".tflite":
        options = asked.options("opset")
        return exporters.from_tflite(path, asked.file, example=_named(asked), **options)
    if path.suffix in _PICKLES:
        return _export_estimator(asked, _load_pickle(asked, path), _one(asked))
    raise RequestError(f"{path}: is nothing that can be exported; SOURCE is {KINDS}")


def as_record(made: Exported, found: Inspection) -> dict[str, Any]:
    """What `--json` prints of an export."""
    return {
        "files": [str(file) for file in made.files],
        "inputs": dict(made.inputs),
        "outputs": dict(made.outputs),
        "opset": made.opset,
        "exporter": made.exporter,
        "verified": made.verified,
        "difference": made.difference if made.verified else None,
        "notes": list(made.notes),
        "explainable": not found.missing and not found.ends,
    }


def lines(made: Exported, found: Inspection) -> Iterable[str]:
    """The export for people: what was written, how well it agrees, whether it can be explained."""
    yield f"wrote {', '.join(map(str, made.files))} ({made.exporter}, opset {made.opset})"
    yield from (f"  input {name} {kind}" for name, kind in made.inputs.items())
    yield from (f"  output {name} {kind}" for name, kind in made.outputs.items())
    if made.verified:
        runs = len({check.inputs for check in made.checks})
        yield (
            f"Verified on {runs} inputs: onnxruntime differs by at most "
            f"{made.difference:.2g} of an output's largest value."
        )
    else:
        yield "Not verified: nothing tells that this file computes what the model does."
    yield from (f"Note: {note}." for note in made.notes)
    yield verdict(found)


def inspected(made: Exported) -> Inspection:
    """How each node of the file would be explained."""
    return inspect(made.path, None)


def _export_folder(asked: ExportOptions, path: Path) -> Exported:
    if (path / "saved_model.pb").is_file():
        options = asked.options("opset", "signature")
        return exporters.from_saved_model(path, asked.file, example=_named(asked), **options)
    if (path / "config.json").is_file():
        options = asked.options("opset", "exporter", "dynamic")
        example = _tensors(_named(asked))
        return exporters.from_transformers(path, asked.task, asked.file, example=example, **options)
    raise RequestError(f"{path}: holds neither a SavedModel nor a transformers model")


def _export_factory(asked: ExportOptions) -> Exported:
    """Run a script's function, which returns a model, or (model, example)."""
    made = _call_factory(asked.source)
    model, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    family = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if "torch" in family and "keras" not in family:
        own = example if asked.example is None else _tensors(_one(asked))
        if own is None:
            raise RequestError(
                f"{asked.source} returned a torch module alone; return (module, example), or give "
                "--example FILE"
            )
        options = asked.options("opset", "exporter", "dynamic")
        return exporters.from_torch(model, own, asked.file, **options)
    given = example if asked.example is None else _one(asked)
    if "keras" in family:
        return exporters.from_keras(model, asked.file, example=given, **asked.options("opset"))
    return _export_estimator(asked, model, given)


def _export_estimator(asked: ExportOptions, model: Any, example: Any) -> Exported:
    if example is None:
        count = getattr(model, "n_features_in_", None)
        if count is None or hasattr(model, "feature_names_in_"):
            raise RequestError(f"{asked.source}: give some rows with --example FILE (.npy or .npz)")
        example = np.random.default_rng(0).standard_normal((8, count)).astype(np.float32)
    return exporters.from_sklearn(model, example, asked.file, **asked.options("opset"))


def _call_factory(source: str) -> Any:
    file, _, name = source.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise RequestError(f"{path}: no such file; SOURCE is {KINDS}")
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise RequestError(f"{path}: cannot be imported")
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, name, None)):
            raise RequestError(f"{path}: has no function {name!r}")
        return getattr(module, name)()
    except RequestError:
        raise
    except Exception as error:  # whatever the script raises
        raise ExportError(f"{source}: {type(error).__name__}: {first_line(error)}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))


def _load_keras(path: Path) -> Any:
    need("tensorflow", "tensorflow", "exporting a Keras file")
    keras = need("keras", "tensorflow", "exporting a Keras file")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types
        raise ExportError(
            f"{path}: Keras does not load it: {first_line(error)}. Models with layers of your own "
            "or with code in them: write module.py with a function that returns the model"
        ) from None


def _load_pickle(asked: ExportOptions, path: Path) -> Any:
    if not asked.allow_pickle:
        raise RequestError(
            f"{path}: loading a pickle runs whatever code is in it. Pass --allow-pickle if you "
            "trust where it comes from"
        )
    joblib = need("joblib", "sklearn", "exporting a pickled estimator")
    try:
        return joblib.load(path)  # reads plain pickles, too
    except Exception as error:  # unpickling raises anything
        raise ExportError(f"{path}: cannot be loaded: {first_line(error)}") from None


def _one(asked: ExportOptions) -> Any:
    """The example file's array, or its arrays by name where there are several."""
    found = _named(asked)
    return next(iter(found.values())) if found is not None and len(found) == 1 else found


def _named(asked: ExportOptions) -> dict[str, Any] | None:
    """The arrays of the example file, by name; that of a .npy has the name ""."""
    if asked.example is None:
        return None
    try:
        loaded = np.load(asked.example, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RequestError(
            f"{asked.example}: --example takes .npy or .npz files ({first_line(error)})"
        ) from None
    if isinstance(loaded, np.ndarray):
        return {"": loaded}
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def _tensors(arrays: Any) -> Any:
    """Arrays as what torch modules take."""
    if arrays is None:
        return None
    torch = need("torch", "torch", "exporting a torch module")
    if isinstance(arrays, dict):
        return {name: torch.as_tensor(x) for name, x in arrays.items()}
    return torch.as_tensor(arrays)
