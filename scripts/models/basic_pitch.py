"""Explains basic-pitch's SavedModel, .tflite and .onnx, one network through three exporters.

Usage: python scripts/models/basic_pitch.py FOLDER, the saved models of basic-pitch==0.4.0
(`pip download --no-deps basic-pitch==0.4.0`, unzipped: basic_pitch/saved_models/icassp_2022).
Needs the extra [tensorflow]. Prints the largest difference of relevance, by mode and output.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from backtrace_onnx import Explainer, ExportError
from backtrace_onnx.exporters import from_saved_model, from_tflite


def main(folder: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 43844, 1)).astype(np.float32) / 8
    with tempfile.TemporaryDirectory() as made:
        files = {"onnx": folder / "nmp.onnx"}
        for name, source, export in (
            ("SavedModel", folder / "nmp", from_saved_model),
            ("tflite", folder / "nmp.tflite", from_tflite),
        ):
            file = Path(made) / f"{name}.onnx"
            try:
                print(name, export(source, file).difference)
            except ExportError as error:
                print(f"{name} cannot be exported: {error}")
                continue
            files[name] = file
        explainers = {name: Explainer(file) for name, file in files.items()}
        _compare(explainers, x)


def _compare(explainers: dict[str, Explainer], x: np.ndarray) -> None:
    names = {name: _outputs(explainer, x) for name, explainer in explainers.items()}
    for mode in ("default", "contrastive"):
        wanted = None
        for name, explainer in explainers.items():
            found = explainer.explain(x, mode=mode, output=names[name], task="segmentation")
            r = next(iter(found.relevance.values()))
            wanted = r if wanted is None else wanted
            difference = np.abs(r - wanted).max() / np.abs(wanted).max()
            print(f"{mode} {name} {names[name]}: {difference:.2g}")


def _outputs(explainer: Explainer, x: np.ndarray) -> str:
    """The output with 264 bins, whatever it is called: the contours."""
    graph = explainer.graph
    return next(o for o in graph.outputs if (graph.type(o).shape or (0,))[-1] == 264)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
