"""An explanation as other libraries' objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.interop.columns import as_columns
from backtrace_onnx.interop.optional import need
from backtrace_onnx.interop.shap_values import is_picture, shap_explanation
from backtrace_onnx.propagation.ledger import Ledger

Array = npt.NDArray[Any]


class Convertible:
    """What an explanation can become: shap's Explanation, a data frame of pandas."""

    relevance: Mapping[str, Array]
    inputs: Mapping[str, Array]
    axes: Mapping[str, int | None]
    ledger: Ledger

    def to_shap(self) -> Any:
        """A `shap.Explanation` of the inputs, as all of shap's plots take it.

        One input that holds pictures keeps its shape, channels last; of all others every entry is a
        column, [samples, columns]. Base values are what relevance started from (the score; the
        difference to a baseline's where the mode compares) less what reached the inputs, so that
        base values and values add up. Raises RequestError where shap is not installed, or inputs
        have no samples.
        """
        columns = as_columns(self.relevance, self.inputs, self.axes, self._label)
        names = list(self.inputs)
        picture = None
        if len(names) == 1 and self.axes.get(names[0]) == 0 and is_picture(self.inputs[names[0]]):
            picture = (self.relevance[names[0]], self.inputs[names[0]])
        start = self.ledger.total().start
        whole = start[0] - start[1:].sum(0)  # two channels: for minus against
        return shap_explanation(columns, picture, whole)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` of relevance: a row each sample, a column each entry of the inputs.

        Raises RequestError where pandas is not installed, or inputs have no samples.
        """
        pandas = need("pandas", "to_pandas")
        columns = as_columns(self.relevance, self.inputs, self.axes, self._label)
        return pandas.DataFrame(np.asarray(columns.values), columns=list(columns.names))

    def _label(self, name: str, index: tuple[int, ...]) -> str:
        raise NotImplementedError


__all__ = ["Convertible"]
