"""Relevance as shap's Explanation, which all of shap's plots take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.interop.columns import RelevanceColumns
from backtrace_onnx.interop.optional import need

Array = npt.NDArray[Any]
_COLOURS = (1, 3, 4)


def shap_explanation(
    columns: RelevanceColumns, picture: tuple[Array, Array] | None, total: Array
) -> Any:
    """A shap Explanation whose base values and values add up to `total`, sample by sample.

    Args:
        picture: relevance and input [samples, ...] where these are pictures; they keep their
            shape, channels last, as shap.image_plot takes them.
        total: float64[samples]: what relevance started from.

    Raises RequestError where shap is not installed.
    """
    shap = need("shap", "to_shap")
    values, data = columns.values, columns.data
    base = np.asarray(total, np.float64) - values.sum(1)
    if picture is not None:
        values, data = (_channels_last(x) for x in picture)
    names = None if picture is not None else list(columns.names)
    return shap.Explanation(
        values, base_values=base, data=data, feature_names=names, compute_time=None
    )


def is_picture(x: Array) -> bool:
    """Whether inputs [samples, ...] are pictures with channels."""
    return x.ndim == 4 and (x.shape[1] in _COLOURS or x.shape[-1] in _COLOURS)


def _channels_last(x: Array) -> Array:
    x = np.asarray(x, np.float64)
    return np.moveaxis(x, 1, -1) if x.shape[1] in _COLOURS else x


__all__ = ["is_picture", "shap_explanation"]
