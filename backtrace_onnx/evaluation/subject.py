"""What is evaluated: a model that explains rows of data, and answers to changed copies of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.activation_patching import tensor_values
from backtrace_onnx.data.encoding import RowEncoder
from backtrace_onnx.errors import BacktraceError
from backtrace_onnx.evaluation.sample_view import SampleView
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.graph.ids import find_ids
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.inputs.class_names import declared_names
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.pictures_or_columns import holds_columns
from backtrace_onnx.inputs.sidecar import Sidecar, meaning_of, with_tokenizer
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.policies import find_method
from backtrace_onnx.targets.named_targets import read_target
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.tensor_choice import find_output
from backtrace_onnx.text.inputs import TextInput

Array = npt.NDArray[Any]
TASKS = ("classification", "regression", "segmentation", "generation")
_TOKENS = ("input_ids", "ids", "tokens")
"""What token ids are called beside ids of types and positions."""
_AT_ONCE = 32
_NUMBERS = 1 << 23
"""Of the copies that run at once: no more than 64 MB."""


@dataclass(frozen=True)
class EvaluatedQuestion:
    """What of the model is explained, the same for all rows and modes.

    Attributes:
        explaining: options of `Explainer.explain`, without inputs and mode.
        baseline, background: for the modes that compare, and for those alone.
    """

    output: str | None = None
    target: Any = None
    explaining: Mapping[str, Any] = field(default_factory=dict)
    baseline: Any = None
    background: Any = None


class EvaluatedModel:
    """A model, opened to be evaluated.

    Args:
        model: path, bytes or ModelProto. sidecar: what its inputs mean.
        tokenizer: tokenizer.json for texts. kept: columns of the data that are no inputs.
        asked: what is explained. opening: options of `Explainer`.

    Raises BacktraceError where the model cannot be opened.
    """

    def __init__(
        self,
        model: ModelLike,
        sidecar: Sidecar | None,
        asked: EvaluatedQuestion,
        *,
        tokenizer: Path | None = None,
        kept: KeptColumns | None = None,
        **opening: Any,
    ) -> None:
        self.asked = asked
        self.explainer = Explainer(model, **opening)
        graph = self.explainer.graph
        self.output = find_output(asked.output, graph)
        self.sidecar = with_tokenizer(sidecar, tokenizer, graph)
        if self.sidecar is not None:
            self.sidecar.check(graph.inputs, graph.outputs)
        columns = self.sidecar.columns if self.sidecar else KeptColumns()
        self.encoder = RowEncoder(graph, self.sidecar, (kept or KeptColumns()).over(columns))
        self.ids = find_ids(graph)
        self.target = self._labelled(asked.target)

    def view(self, feeds: Mapping[str, Array]) -> SampleView:
        """The inputs of one row that carry relevance, as one array."""
        return SampleView.of(feeds, self._carrying, self.explainer.graph)

    def explain(self, feeds: Mapping[str, Array], mode: Any, target: Any = None) -> Explanation:
        """An explanation of a batch; of the target that was asked for where none is named here.

        Raises what `Explainer.explain` raises.
        """
        asked = self.asked
        options = {**asked.explaining, "output": self.output, "sidecar": self.sidecar}
        options |= {n: v for n, v in self._compared(mode).items() if v is not None}
        target = self.target if target is None else target
        made: Explanation = self.explainer.explain(dict(feeds), mode=mode, target=target, **options)
        return made

    def explain_row(self, feeds: Mapping[str, Array], mode: Any) -> Explanation:
        """An explanation of one row; where the model's batch is fixed, of it again and again."""
        view = self.view(feeds)
        if self.fixed is None or view.most == 1:
            return self.explain(feeds, mode)
        return self.explain(view.inputs(_filled(view.x, self.fixed)), mode)

    def relevance(
        self, view: SampleView, x: Array, mode: Any, answer: Explanation, target: Any = None
    ) -> Array:
        """Relevance of copies x[copies, ...] of a sample, for what `answer` explains, or a target.

        Of copies that are explained in a batch as large as the model takes.
        """
        made = []
        size = view.most or self.fixed or min(len(x), _AT_ONCE)
        for at in range(0, len(x), size):
            part = x[at : at + size]
            fed = _filled(part, size) if view.most is None else part
            goal = answer.target if target is None else target
            goal = None if goal is None else np.repeat(np.asarray(goal)[:1], len(fed), 0)
            found = self.explain(view.inputs(fed), mode, goal)
            made.append(view.packed(found.relevance)[: len(part)])
        return np.concatenate(made)

    def outputs(self, view: SampleView, x: Array, layout: OutputAxes) -> Array:
        """The explained output for copies x[copies, ...] of a sample, its samples first."""
        size = self.fixed or max(1, min(_AT_ONCE, _NUMBERS // max(x[0].size, 1)))
        size = 1 if view.most == 1 or layout.samples is None else size
        made = []
        for at in range(0, len(x), size):
            part = x[at : at + size]
            fed = _filled(part, size) if self.fixed else part
            found = tensor_values(self.explainer, view.inputs(fed), (self.output,))[self.output]
            made.append(layout.rows(np.asarray(found))[: len(part)])
        return np.concatenate(made)

    def answers(self, feeds: Mapping[str, Array]) -> bool:
        """Whether the model has a finite answer to a row."""
        view = self.view(feeds)
        fed = (
            view.inputs(_filled(view.x, self.fixed)) if self.fixed and view.most is None else feeds
        )
        try:
            found = tensor_values(self.explainer, dict(fed), (self.output,))[self.output]
        except BacktraceError:
            return False
        found = np.asarray(found)
        return bool(found.dtype.kind != "f" or np.isfinite(found).all())

    @property
    def threshold(self) -> float:
        """Of a segmentation."""
        asked = self.asked.explaining.get("threshold")
        asked = meaning_of(self.sidecar, self.output).threshold if asked is None else asked
        return 0.5 if asked is None else float(asked)

    @cached_property
    def fixed(self) -> int | None:
        """How many samples the model takes at once, where that is fixed."""
        graph = self.explainer.graph
        axes = SampleAxes(graph)
        for name in self._carrying:
            shape, axis = graph.type(name).shape, axes(name)
            if shape is not None and axis is not None and isinstance(shape[int(axis)], int):
                return int(shape[int(axis)])  # type: ignore[arg-type]
        return None

    @cached_property
    def _carrying(self) -> tuple[str, ...]:
        """Inputs that carry relevance; of a model that reads sequences of ids the tokens alone.

        Ids beside columns of numbers are columns, too.
        """
        graph = self.explainer.graph
        carriers = self.explainer._model.plan.carriers
        found = tuple(name for name in graph.inputs if name in carriers)
        shapes = {name: graph.type(name).shape for name in found if name in self.ids}
        rows = [n for n, shape in shapes.items() if shape and len(shape) > 1 and shape[1] != 1]
        if not rows or any(holds_columns(graph.type(name)) for name in found):
            return found
        if len(rows) < 2:
            return tuple(rows)
        known = self.sidecar.inputs if self.sidecar else {}
        texts = tuple(name for name in rows if isinstance(known.get(name), TextInput))
        return texts or tuple(name for name in rows if name in _TOKENS) or tuple(rows)

    def _compared(self, mode: Any) -> dict[str, Any]:
        """The baseline and the background, if this mode takes them."""
        given = {"baseline": self.asked.baseline, "background": self.asked.background}
        if mode == "auto" or all(value is None for value in given.values()):
            return given
        method = find_method(mode)
        takes: tuple[str, ...] = ("baseline", "background") if method.compares else ()
        takes = method.walks.takes if method.walks is not None else takes
        return {name: value for name, value in given.items() if name in takes}

    def _labelled(self, target: Any) -> Any:
        """A target; of a text what it names. Raises RequestError where it names nothing."""
        if not isinstance(target, str):
            return target
        shape, own = self.explainer.graph.type(self.output).shape, self.explainer.class_labels
        meaning = declared_names(meaning_of(self.sidecar, self.output), own, shape)
        return read_target(target, meaning.labels)


def _filled(x: Array, size: int) -> Array:
    """Copies, and the last of them again until a batch is full."""
    return x if len(x) >= size else np.concatenate([x, np.repeat(x[-1:], size - len(x), 0)])


__all__ = ["TASKS", "EvaluatedModel", "EvaluatedQuestion"]
