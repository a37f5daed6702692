"""Pictures of the examples: relevance over what the model saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from fetching import keep

from backtrace_onnx.report import picture_style

Array = npt.NDArray[Any]
FAINT = 0.1  # of the full colour; less is not drawn


def rows(name: str, picture: Array, parts: Sequence[tuple[str, Array]], heading: str) -> None:
    """Keep `name`.png: the picture [H, W] in 0..1, and below it every part's relevance [H, W]."""

    def drawn() -> Any:
        height, width = picture.shape
        each = 9 * height / width + 0.12
        figure = picture_style.sheet(9, 0.5 + each * (len(parts) + 1))
        figure.suptitle(heading, fontsize=12, color=picture_style.INK)
        axes = figure.subplots(len(parts) + 1, 1)
        for axis, (label, values) in zip(axes, [("", None), *parts], strict=True):
            axis.imshow(
                picture if values is None else 0.75 + 0.25 * picture, "gray", vmin=0, vmax=1
            )
            if values is not None:
                limit = np.percentile(np.abs(values), 99.7) or 1.0
                shown = np.where(np.abs(values) < FAINT * limit, 0, values)
                axis.imshow(shown, picture_style.colours(), vmin=-limit, vmax=limit)
            axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=14)
            axis.set_xticks([])
            axis.set_yticks([])
        return figure

    with TemporaryDirectory() as folder:
        picture_style.save(Path(folder) / "relevance.png", drawn)
        keep(Path(folder), name)
