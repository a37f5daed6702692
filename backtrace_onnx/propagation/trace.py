"""The forward run: one onnxruntime session that exposes what the rules need."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, ValueInfoProto, helper

from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.token_limit import token_limit
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.sessions import CPU, Runtime, first_line, load_unbroken
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.policies import find_method
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.traced_tensors import TracedTensors, find_traced

Array = npt.NDArray[Any]
SHAPE_SUFFIX = "@shape"
_WIDE_SUFFIX = "@wide"
_OUTSIDE = re.compile(
    r"Name:'(?P<node>[^']*)'.*indices element out of data bounds, "
    r"idx=(?P<index>-?\d+) must be within the inclusive range \[-?\d+,(?P<last>\d+)\]"
)
_OPTIMISED = 3000  # nodes; optimising more, small ones mostly, takes seconds and saves nothing


class Trace:
    """A session of the model that also returns the tensors that a walk asks for.

    Attributes:
        values, shapes: names of those whose values, and whose shapes, it returns.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        extra: Sequence[str] = (),
        runtime: Runtime = CPU,
        *,
        asked: TracedTensors | None = None,
        least: TracedTensors | None = None,
    ) -> None:
        """A walk of relevance asks unless said otherwise.

        Args:
            extra: tensors whose values are returned, too.
            asked: by the walk.
            least: what `only` may be asked for.
        """
        asked = asked or find_traced(plan, find_method("default"))
        least = least or asked
        self._made_of, self.runtime = (model, plan, extra, runtime), runtime
        self._fed = set(plan.graph.inputs)
        self._graph = plan.graph
        self._kept = {*plan.graph.outputs, *extra}
        self.values = sorted((asked.values | set(extra)) - self._fed)
        self.shapes = sorted(asked.shapes - least.values - self._fed)
        self.outputs = tuple(plan.graph.outputs)
        half = [v for v in self.values if plan.graph.type(v).dtype == TensorProto.FLOAT16]
        self._open = partial(asking_session, model, self.values, self.shapes, half, runtime)
        self._session: Any = self._open()
        inner = [v for v in half if v not in self.outputs]
        self._fetched = fetched_names((*self.outputs, *self.values), self.shapes, inner)
        self._before = self._kept | asked.before
        self._others: dict[tuple[TracedTensors, frozenset[str]], Trace] = {}
        self._asked: dict[tuple[Any, ...], tuple[Plan, TracedTensors, TracedTensors]] = {}
        self._lock = Lock()

    def of(
        self,
        plan: Plan,
        method: Method,
        extra: frozenset[str],
        *,
        start: str = "",
        booked: bool = True,
        weighed: frozenset[str] = frozenset(),
    ) -> Trace:
        """The run that returns what a walk of the method over the plan asks for; it is kept.

        Args:
            extra: more values.
            start: the tensor that the walk starts at, if that is known.
            booked: whether it keeps books.
            weighed: tensors that these weigh by their values, whoever reads them.
        """
        if method.carrier == "relevance":
            return self
        key = (id(plan), method, extra, start, weighed)
        if key not in self._asked:
            asked, least = (
                replace(found, values=found.values | extra, before=found.before | extra)
                for found in (
                    find_traced(plan, method, start=start, booked=books, weighed=weighed)
                    for books in (True, False)
                )
            )
            self._asked[key] = plan, asked, least  # the plan, so that no other gets its id
        _, asked, least = self._asked[key]
        with self._lock:
            run = (asked, asked.shapes - least.values)  # what differs in no more is one session
            if run not in self._others:
                self._others[run] = Trace(*self._made_of, asked=asked, least=least)
            made = self._others[run]
        return made if booked else made.only(least)

    def close(self) -> None:
        """Give back what the session takes, until it is asked to run again."""
        self._session = None

    def only(self, asked: TracedTensors) -> Trace:
        """The same session, returning no more than this."""
        fewer, kept = copy(self), self._kept | asked.values
        shapes = {name + SHAPE_SUFFIX for name in asked.shapes}
        fewer.values = sorted(kept.intersection(self.values))
        fewer._fetched = {n: x for n, x in self._fetched.items() if n in kept or n in shapes}
        return fewer

    @property
    def returned(self) -> tuple[str, ...]:
        """Names of all that a run returns."""
        return tuple(self._fetched)

    def run_reference(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """What the walk asks for of the run of the reference. Raises as `run`."""
        return self._run(
            feeds, {name: x for name, x in self._fetched.items() if name in self._before}
        )

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every tensor asked for, by name. Raises InputError where the model cannot run on them."""
        return self._run(feeds, self._fetched)

    def _run(self, feeds: Mapping[str, Array], fetched: Mapping[str, str]) -> dict[str, Array]:
        with refusing(feeds, self._graph):
            session = self._session = self._session or self._open()
            results = session.run(list(fetched.values()), dict(feeds))
        return {**dict(zip(fetched, results, strict=True)), **feeds}


@contextmanager
def refusing(feeds: Mapping[str, Array], graph: Graph) -> Iterator[None]:
    """Raises InputError where a model of this graph does not run on these inputs."""
    try:
        yield
    except Exception as error:  # onnxruntime raises many types
        given = ", ".join(f"{name} {x.dtype}{list(x.shape)}" for name, x in feeds.items())
        why = _too_long(feeds, token_limit(graph)) or _outside(str(error)) or first_line(error)
        raise InputError(f"the model cannot run on the inputs {given}: {why}") from None


def _too_long(feeds: Mapping[str, Array], limit: int | None) -> str | None:
    """That ids [samples, tokens] are more than the model has positions for, if they are."""
    for name, x in feeds.items():
        if limit is not None and x.ndim == 2 and x.dtype.kind in "iu" and x.shape[1] > limit:
            return f"{name} holds {x.shape[1]} tokens, and the model reads at most {limit}"
    return None


def _outside(error: str) -> str | None:
    """What onnxruntime means where it says that an index lies outside of a table."""
    found = _OUTSIDE.search(error)
    if found is None:
        return None
    node, index, rows = found["node"], int(found["index"]), int(found["last"]) + 1
    return (
        f"node {node!r} looks up row {index} of a table of {rows} rows; an id is none that the "
        "model knows, or there are more tokens than it has positions"
    )


class TracedValues:
    """The arrays of one forward run, converted when they are read and released behind the walk."""

    def __init__(self, arrays: dict[str, Array], dtype: npt.DTypeLike) -> None:
        self._arrays, self._dtype = arrays, np.dtype(dtype)
        self._wide: dict[str, Array] = {}

    def value(self, name: str) -> Value:
        """A tensor's value; floats in the dtype of the relevance."""
        array = self._arrays[name]
        if array.dtype.kind in "fV" and array.dtype != self._dtype:
            if array.dtype == np.float64:
                self._wide[name] = array
            array = self._arrays[name] = array.astype(self._dtype)
        return array

    def exact(self, name: str) -> Value:
        """A tensor's value in its own dtype, before it was converted."""
        return self._wide.get(name, self._arrays[name])

    def shape(self, name: str) -> Value:
        """A tensor's shape, int64[rank]."""
        if name + SHAPE_SUFFIX in self._arrays:
            return self._arrays[name + SHAPE_SUFFIX]
        return np.array(self._arrays[name].shape, np.int64)

    def squares(self, name: str) -> Value | None:
        """None: tensors are whole."""
        return None

    def release(self, names: Sequence[str]) -> None:
        """Forget what no earlier node reads."""
        for name in names:
            self._arrays.pop(name, None)
            if self._wide:
                self._wide.pop(name, None)


def fetched_names(
    values: Iterable[str], shapes: Iterable[str], half: Iterable[str]
) -> dict[str, str]:
    """By the name under which values and shapes are kept, what a session calls them."""
    named = {name: name for name in values}
    named |= {name + SHAPE_SUFFIX: name + SHAPE_SUFFIX for name in shapes}
    return named | {name: name + _WIDE_SUFFIX for name in half}


def asking_session(
    model: Model,
    values: Collection[str],
    shapes: Collection[str],
    half: Collection[str],
    runtime: Runtime,
) -> Any:
    """A session that returns values, shapes, and float16 values as they were computed.

    A CPU computes float16 in float32, and onnxruntime leaves out the rounding between nodes, the
    relevance's included: what is returned as float16 is not what those nodes read.
    """
    graph, single = model.proto.graph, TensorProto.FLOAT
    present = {o.name for o in graph.output}
    plain = [name for name in values if name not in present and name not in half]
    added = [
        *(helper.make_node("Shape", [x], [x + SHAPE_SUFFIX], x + SHAPE_SUFFIX) for x in shapes),
        *(
            helper.make_node("Cast", [x], [x + _WIDE_SUFFIX], x + _WIDE_SUFFIX, to=single)
            for x in half
        ),
    ]
    asked = [*plain, *(node.output[0] for node in added)]
    nodes = [*graph.node, *added]
    outputs = [*graph.output, *(ValueInfoProto(name=name) for name in asked)]
    asking = model.with_nodes(nodes, outputs=outputs)
    if len(nodes) >= _OPTIMISED:
        return asking.session(runtime, optimise=False)
    return load_unbroken(partial(asking.session, runtime))
