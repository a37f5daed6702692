"""The explainer: a prepared model, its session, and the calls users make."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx import registry, rules
from backtrace_onnx.backends.eager import EagerOps, Samples, Sessions
from backtrace_onnx.engine import NodeStep, propagate
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.explanation import Explanation, combined
from backtrace_onnx.graph import Graph, TensorType
from backtrace_onnx.inputs import check_inputs
from backtrace_onnx.ledger import Balance, Entry, Ledger
from backtrace_onnx.model import Model, ModelLike, load
from backtrace_onnx.plan import OnUnsupported, Plan, make_plan
from backtrace_onnx.policies import Policy, find_policy
from backtrace_onnx.prepare import prepare
from backtrace_onnx.start import Options, start_text
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.trace import Trace, TracedValues

Array = npt.NDArray[Any]
Keep = Literal["inputs", "all"] | Sequence[str]
Progress = Callable[[int, int], None]

_ = rules  # registers the rules


@dataclass(frozen=True)
class Support:
    """How one node is explained.

    Attributes:
        coverage: "exact" by a rule, "expanded" from a schema or local function, "nothing" if it
            carries no relevance, "none" if it cannot be explained.
    """

    node: str
    operator: str
    rule: str
    coverage: Literal["exact", "expanded", "nothing", "none"]


@dataclass
class _View:
    """The model as prepared for one explained tensor."""

    model: Model
    plan: Plan
    trace: Trace


class Explainer:
    """Explains one model, again and again.

    Args:
        model: path, bytes or ModelProto of an .onnx model.
        engine: "numba" walks back in Python; "onnxruntime" runs the compiled explanation.
        providers: onnxruntime execution providers; default the CPU's.
        on_unsupported: at operators without a rule: "error", "pass" relevance to the inputs of
            the output's shape, or "stop" and book it as unassigned.

    Raises:
        ModelError: the model cannot be loaded.
        UnsupportedError: operators have no rule; all are listed.
    """

    def __init__(
        self,
        model: ModelLike,
        *,
        engine: Literal["numba", "onnxruntime"] = "numba",
        providers: Sequence[str] | None = None,
        on_unsupported: OnUnsupported = "error",
    ) -> None:
        if engine not in ("numba", "onnxruntime"):
            raise RequestError(f"unknown engine {engine!r}; there are: numba, onnxruntime")
        if on_unsupported not in ("error", "pass", "stop"):
            raise RequestError(f"on_unsupported is error, pass or stop, not {on_unsupported!r}")
        self.engine, self.on_unsupported = engine, on_unsupported
        self.providers = tuple(providers or ("CPUExecutionProvider",))
        self._loaded = load(model)
        self._sessions = Sessions(self.providers)
        prepared, graph = prepare(self._loaded)
        plan = make_plan(graph, on_unsupported)
        self._default_output = _first_float(graph)
        self._check(plan, self._default_output)
        self._main = _View(prepared, plan, Trace(prepared, plan, (), self.providers))
        self._views: dict[str, _View] = {}

    @property
    def graph(self) -> Graph:
        """The graph as the rules read it."""
        return self._main.plan.graph

    def explain(
        self,
        inputs: Any,
        *,
        mode: str = "default",
        output: str | None = None,
        target: Any = None,
        task: str | None = None,
        start: Any = None,
        scaler: float | None = None,
        threshold: float = 0.5,
        keep: Keep = "inputs",
        progress: Progress | None = None,
    ) -> Explanation:
        """Trace the answer for `inputs` back to them.

        Args:
            inputs: array, or arrays by input name.
            mode: policy: "default", "contrastive", "epsilon" or one of your own.
            output: tensor to explain, by name; default the first float output.
            target: entry of the output: an index, one per sample, or a tuple index of the output's
                axes; for generation (position, token). Default: the largest.
            task: "classification" (default), "regression", "bbox", "segmentation", "generation".
            start: relevance to start from, shaped like the output; a pair in contrastive mode.
            scaler: total each channel starts from; default: as the task gives it.
            threshold: of the segmentation task.
            keep: tensors whose relevance is kept: "inputs", "all" or names.
            progress: called with (nodes done, nodes) as the walk goes on.

        Raises:
            InputError: an input does not fit the model.
            RequestError: another argument does not fit it.
            UnsupportedError: the way from `output` meets operators without a rule.
        """
        policy = find_policy(mode)
        feeds = check_inputs(inputs, self.graph)
        view = self._view(output)
        name = (
            view.plan.graph.outputs[0]
            if output is not None and view is not self._main
            else (output or self._default_output)
        )
        kept = _kept(keep, view.plan.graph)
        arrays = view.trace.run(feeds)
        y = _explainable(name, arrays[name])
        dtype = np.dtype(np.float64 if y.dtype == np.float64 else np.float32)
        axes = SampleAxes(view.plan.graph, y, name)
        ops = EagerOps(dtype, Samples(axes.count), self._sessions, dict(view.plan.graph.opsets))
        channels, chosen = self._start(ops, y, axes, policy, target, task, start, scaler, threshold)
        outputs = {o: arrays[o] for o in self.graph.outputs if o in arrays}
        books = _Books(ops, policy, axes)
        total = len(view.plan.graph.nodes)
        relevance = propagate(
            view.plan,
            {name: channels},
            ops=ops,
            policy=policy,
            values=TracedValues(arrays, dtype),
            keep=kept | set(feeds),
            sample_axes=axes,
            enter=books.enter,
            advance=_counting(progress, total),
        )
        ledger = books.close(channels, {n: relevance.get(n) for n in feeds}, name)
        for n, x in feeds.items():
            relevance.setdefault(n, [np.zeros(x.shape, dtype) for _ in range(policy.channels)])
        relevance.update(
            {
                a: relevance[r]
                for a, r in view.plan.graph.aliases.items()
                if a in kept and r in relevance
            }
        )
        positive = {n: np.asarray(r[0]) for n, r in relevance.items()}
        negative = (
            {n: np.asarray(r[1]) for n, r in relevance.items()} if policy.channels > 1 else {}
        )
        return Explanation(
            relevance=combined(positive, negative),
            positive=positive,
            negative=negative,
            inputs=feeds,
            outputs=outputs,
            output=name,
            mode=mode,
            task="start" if start is not None else task or "classification",
            target=chosen,
            ledger=ledger,
        )

    def compile(
        self,
        path: str | os.PathLike[str],
        *,
        mode: str = "default",
        output: str | None = None,
        task: str | None = None,
        tensors: Sequence[str] | None = None,
        scaler: float | None = None,
        threshold: float = 0.5,
    ) -> None:
        """Write one .onnx file that returns the prediction and its explanation; see `compile`."""
        from backtrace_onnx.compiler import write

        view = self._view(output)
        name = output or self._default_output
        write(
            view.model,
            view.plan,
            path,
            policy=find_policy(mode),
            output=name,
            task=task or "classification",
            tensors=tensors,
            scaler=scaler,
            threshold=threshold,
        )

    def support(self) -> list[Support]:
        """A row per node that relevance may meet, in the model's order."""
        plan = self._main.plan
        written = {node.name for node in self._loaded.proto.graph.node}
        rows = []
        for node in plan.graph.nodes:
            structure = plan.structures.get(node.name)
            rule = registry.lookup(node.domain, node.op_type, node.version)
            summary = rule.summary if rule else plan.missing.get(node.name, "depends on no input")
            coverage: Literal["exact", "expanded", "nothing", "none"]
            if node.name in plan.missing:
                coverage, summary = "none", plan.missing[node.name]
            elif structure is None or not structure.carries:
                coverage = "nothing"
            else:
                coverage = "exact" if node.name in written else "expanded"
            rows.append(Support(node.name, node.operator, summary, coverage))
        return rows

    def _view(self, output: str | None) -> _View:
        """The view that explains `output`; made once per tensor that is no output of the model."""
        graph = self._main.plan.graph
        if output is None or output in graph.outputs:
            self._check(self._main.plan, output or self._default_output)
            return self._main
        if output not in self._views:
            made = {o for node in self._main.model.proto.graph.node for o in node.output}
            if output not in made:
                raise RequestError(
                    f"no tensor {output!r} in the model; its outputs are: {', '.join(graph.outputs)}"
                )
            model, whole = prepare(self._loaded, frozenset({output}))
            nodes = tuple(whole.ancestors(output))[::-1]
            part = replace(whole, nodes=nodes, outputs=(output,))
            plan = make_plan(part, self.on_unsupported)
            self._check(plan, output)
            self._views[output] = _View(model, plan, Trace(model, plan, (output,), self.providers))
        return self._views[output]

    def _check(self, plan: Plan, output: str) -> None:
        if self.on_unsupported == "error":
            plan.check(output)

    def _start(
        self,
        ops: EagerOps,
        y: Array,
        axes: SampleAxes,
        policy: Policy,
        target: Any,
        task: str | None,
        start: Any,
        scaler: float | None,
        threshold: float,
    ) -> tuple[Channels, Array | None]:
        if start is not None:
            if target is not None or task is not None:
                raise RequestError("give either start, or target and task")
            return _given(start, y, policy, ops.dtype), None
        task = task or "classification"
        batched = y.astype(ops.dtype, copy=False).reshape(axes.count, *axes.rest)
        chosen = _target(target, batched, task)
        options = Options(threshold, scaler, single=batched[0].size == 1)
        text = start_text(task, policy.channels, options)
        made = ops.apply(f"start/{task}/{policy.channels}/{options}", text, batched, chosen)
        parts = made if isinstance(made, tuple) else (made,)
        return [part.reshape(y.shape) for part in parts], chosen


class SampleAxes:
    """Along which axis of every tensor samples lie, and how many there are."""

    def __init__(self, graph: Graph, y: Array, output: str) -> None:
        self._graph = graph
        self._symbols = {
            s[0] for s in (graph.type(n).shape for n in graph.inputs) if s and isinstance(s[0], str)
        }
        axis = self.axis(graph.type(output), y.ndim)
        self.count = y.shape[0] if axis == 0 and y.ndim else 1
        self.rest = (
            y.shape[1:]
            if axis == 0 and y.ndim > 1
            else (1,)
            if axis == 0 and y.ndim
            else y.shape or (1,)
        )

    def __call__(self, tensor: str) -> int | None:
        return self.axis(self._graph.type(tensor))

    def axis(self, kind: TensorType, rank: int | None = None) -> int | None:
        """Axis with the samples' symbol; the first where inference does not know."""
        if kind.shape is None:
            return 0 if rank is None or rank > 1 else None
        for axis, n in enumerate(kind.shape):
            if isinstance(n, str) and n in self._symbols:
                return axis
        return 0 if len(kind.shape) > 1 else None


class _Books:
    """Collects the entries of the ledger as the walk goes."""

    def __init__(self, ops: EagerOps, policy: Policy, axes: SampleAxes) -> None:
        self._ops, self._axes = ops, axes
        self._shape = (policy.channels, axes.count)
        self._entries: dict[str, Entry] = {}

    def enter(self, step: NodeStep) -> None:
        """Close a node's books. Only a structure that drops relevance has its rest unassigned."""
        incoming = np.zeros(self._shape)
        for name, r in zip(step.node.outputs, step.outgoing, strict=True):
            if r is not None:
                incoming += self._totals(r, self._axes(name))
        books = {kind: self._sum(step.books[kind]) for kind in ("data", "constants", "unassigned")}
        if step.drops:
            books["unassigned"] = incoming - books["data"] - books["constants"]
        self._entries[step.node.name] = Entry(step.node.name, step.node.operator, incoming, **books)

    def close(self, start: Channels, inputs: Mapping[str, Channels | None], output: str) -> Ledger:
        """The ledger with the whole model's balance."""
        reached = np.zeros(self._shape)
        for name, r in inputs.items():
            if r is not None:
                reached += self._totals(r, self._axes(name))
        constants = sum((e.constants for e in self._entries.values()), np.zeros(self._shape))
        unassigned = sum((e.unassigned for e in self._entries.values()), np.zeros(self._shape))
        begun = self._totals(start, self._axes(output))
        return Ledger(self._entries, Balance(begun, reached, constants, unassigned))

    def _totals(self, r: Channels, axis: int | None) -> npt.NDArray[np.float64]:
        return np.stack([np.asarray(self._ops.total(x, axis)) for x in r])

    def _sum(self, totals: list[list[Any]]) -> npt.NDArray[np.float64]:
        return np.stack([sum(rows, np.zeros(self._shape[1])) for rows in totals])


def _first_float(graph: Graph) -> str:
    for name in graph.outputs:
        if graph.type(name).is_float:
            return name
    raise InputError(
        f"no output of the model is floating point ({', '.join(graph.outputs)}); "
        "there is nothing whose relevance could be traced"
    )


def _kept(keep: Keep, graph: Graph) -> set[str]:
    if isinstance(keep, str):
        if keep == "inputs":
            return set()
        if keep == "all":
            return set(graph.tensors)
        keep = [keep]
    unknown = [name for name in keep if name not in graph.tensors]
    if unknown:
        raise RequestError(f"keep: the model has no tensor {unknown[0]!r} that relevance reaches")
    return set(keep) | {graph.aliases[n] for n in keep if n in graph.aliases}


def _explainable(name: str, y: Any) -> Array:
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "fV":
        kind = getattr(y, "dtype", type(y).__name__)
        raise RequestError(f"output {name!r} is {kind}, not floating point; choose another output")
    if not np.isfinite(y.astype(np.float64, copy=False)).all():
        raise InputError(
            f"output {name!r} is NaN or Inf for these inputs; there is nothing to explain"
        )
    return y


def _given(start: Any, y: Array, policy: Policy, dtype: npt.DTypeLike) -> Channels:
    parts = list(start) if policy.channels > 1 else [start]
    if len(parts) != policy.channels:
        raise RequestError(f"mode {policy.name!r} takes a pair of start arrays (for, against)")
    arrays = [np.array(part, dtype) for part in parts]
    for array in arrays:
        if array.shape != y.shape:
            raise RequestError(f"start has shape {array.shape}, the output {y.shape}")
        if not np.isfinite(array).all():
            raise RequestError("start holds NaN or Inf")
    return arrays


def _target(target: Any, y: Array, task: str) -> Array | None:
    """int64[samples] of entries of each flattened sample; int64[samples, 2] for generation."""
    if task == "generation":
        return _positions(target, y)
    if task == "segmentation":
        if target is not None:
            raise RequestError(
                "segmentation explains the pixels over the threshold; it takes no target"
            )
        return None
    entries = y[0].size
    if target is None:
        if task in ("regression",):
            return None
        return y.reshape(len(y), -1).argmax(1).astype(np.int64)
    if isinstance(target, tuple):
        try:
            flat = np.ravel_multi_index(tuple(int(t) for t in target), y.shape[1:])
        except (ValueError, TypeError):
            raise RequestError(
                f"target {target} does not fit an output of shape {y.shape[1:]}"
            ) from None
        return np.full(len(y), flat, np.int64)
    asked = np.asarray(target)
    if asked.dtype.kind not in "iu" or asked.size not in (1, len(y)):
        raise RequestError(f"target is a class index, or one per sample ({len(y)}); got {target!r}")
    asked = np.broadcast_to(asked.reshape(-1), (len(y),)).astype(np.int64)
    if ((asked < -entries) | (asked >= entries)).any():
        raise RequestError(
            f"target {target!r} is out of range: the output has {entries} entries per sample"
        )
    return np.where(asked < 0, asked + entries, asked)


def _positions(target: Any, y: Array) -> Array:
    if y.ndim != 3:
        raise RequestError(
            f"generation explains an output [batch, position, token], not one of shape {y.shape}"
        )
    asked = np.asarray((-1, -1) if target is None else target)
    if asked.ndim == 0:
        asked = np.array([-1, int(asked)])
    if asked.dtype.kind not in "iu" or asked.shape[-1] != 2 or asked.ndim > 2:
        raise RequestError(
            "generation takes target=token or (position, token), or one such pair per sample"
        )
    asked = np.broadcast_to(asked, (len(y), 2)).astype(np.int64)
    position = np.where(asked[:, 0] < 0, asked[:, 0] + y.shape[1], asked[:, 0])
    best = y[np.arange(len(y)), position].argmax(1)
    token = np.where(asked[:, 1] < 0, best, asked[:, 1])
    if (position < 0).any() or (position >= y.shape[1]).any() or (token >= y.shape[2]).any():
        raise RequestError(f"target {target!r} is out of range for an output of shape {y.shape}")
    return np.stack([position, token], 1)


def _counting(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return advance


def explain(
    model: ModelLike,
    inputs: Any,
    *,
    engine: Literal["numba", "onnxruntime"] = "numba",
    providers: Sequence[str] | None = None,
    on_unsupported: OnUnsupported = "error",
    **options: Any,
) -> Explanation:
    """Explain once: `Explainer(model, ...).explain(inputs, ...)`."""
    made = Explainer(model, engine=engine, providers=providers, on_unsupported=on_unsupported)
    return made.explain(inputs, **options)


def compile(  # noqa: A001  (the name users call)
    model: ModelLike,
    path: str | os.PathLike[str],
    *,
    on_unsupported: OnUnsupported = "error",
    **options: Any,
) -> None:
    """Write prediction and explanation as one ONNX model: `Explainer(model).compile(path, ...)`."""
    Explainer(model, on_unsupported=on_unsupported).compile(path, **options)


__all__ = ["Collection", "Explainer", "Support", "compile", "explain"]
