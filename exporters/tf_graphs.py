"""TensorFlow functions turned into ONNX graphs, with tf2onnx's gaps filled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.comparing import Array
from backtrace_onnx.exporters.quiet import quiet
from backtrace_onnx.model.sessions import first_line

_FREEZE = "convert the file from a SavedModel, so that its variables become constants"
REMEDY = {
    "TFL_VAR_HANDLE": _FREEZE,
    "TFL_READ_VARIABLE": _FREEZE,
    "StatefulPartitionedCall": "a compiled function inside: export the Keras model with from_keras",
}


@dataclass(frozen=True)
class TensorFunction:
    """A function of flat tensors that returns flat tensors.

    Attributes:
        specs: a TensorSpec, with its name, for every input.
        outputs: names of what is returned, in order.
    """

    call: Callable[..., Sequence[Any]]
    specs: Sequence[Any]
    outputs: Sequence[str]


def convert(function: TensorFunction, opset: int, *, large: bool) -> onnx.ModelProto:
    """The function as an ONNX model. Raises ExportError with the operators that have no form."""
    import tf2onnx

    names = [f"out{i:06}" for i in range(len(function.outputs))]  # TensorFlow sorts them

    def keyed(*tensors: Any) -> dict[str, Any]:
        return dict(zip(names, function.call(*tensors), strict=True))

    traced = tf.function(keyed)
    try:
        with quiet(logging.ERROR), _inlined_functions(), _old_numpy_names():
            proto: onnx.ModelProto
            proto, storage = tf2onnx.convert.from_function(
                traced, function.specs, opset=opset, large_model=large
            )
            _store_captures(proto, traced.get_concrete_function(*function.specs))
    except Exception as error:  # TensorFlow and tf2onnx raise many types
        raise ExportError(f"tf2onnx cannot convert the model: {first_line(error)}") from None
    check_operators(proto)
    if storage is not None:
        _embed(proto, storage.name_to_tensor_data)
    inputs = {spec.name: spec.name for spec in function.specs}
    rename(proto, {**inputs, **dict(zip(names, function.outputs, strict=True))})
    return proto


def _store_captures(proto: onnx.ModelProto, concrete: Any) -> None:
    """Make weights of the tensors, no variables, that a function of TensorFlow 1 holds on to."""
    held = {inner.name: outer for outer, inner in concrete.graph.captures}
    inputs = [value for value in proto.graph.input if value.name in held]
    for value in inputs:
        array = held[value.name].numpy()
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        proto.graph.input.remove(value)


def rename(proto: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename tensors everywhere, and order the outputs as `names` does."""
    taken = {out for node in proto.graph.node for out in node.output} - names.keys()
    clash = {new: f"{new}@inner" for old, new in names.items() if new in taken and old != new}
    full = {**clash, **names}
    for node in proto.graph.node:
        node.input[:] = [full.get(name, name) for name in node.input]
        node.output[:] = [full.get(name, name) for name in node.output]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        value.name = full.get(value.name, value.name)
    order = {name: i for i, name in enumerate(names.values())}
    outputs = sorted(proto.graph.output, key=lambda value: order.get(value.name, len(order)))
    kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in outputs]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)


def check_operators(proto: onnx.ModelProto) -> None:
    """Raises ExportError listing operators that tf2onnx left as TensorFlow has them."""
    unknown = {
        node.op_type
        for node in proto.graph.node
        if node.domain in ("", "ai.onnx") and not onnx.defs.has(node.op_type)
    } - {"Erfc", "TFL_GELU"}
    if not unknown:
        return
    remedies = {REMEDY[name] for name in sorted(unknown) if name in REMEDY}
    what = "; ".join(sorted(remedies)) or "there is no ONNX form of them; replace those layers"
    raise ExportError(
        f"tf2onnx does not know {len(unknown)} operator(s) of the model: "
        f"{', '.join(sorted(unknown))}. Remedy: {what}. Nothing was written."
    )


def draw(specs: Sequence[Any], highest: int = 1) -> dict[str, Array]:
    """Random inputs: normal numbers; integers up to `highest`; batches of 2, other sizes of 7."""
    rng = np.random.default_rng(0)
    made: dict[str, Array] = {}
    for spec in specs:
        shape = _sizes(spec)
        dtype = np.dtype(spec.dtype.as_numpy_dtype)
        if dtype.kind in "iu":
            made[spec.name] = rng.integers(0, highest, shape, dtype, endpoint=True)
        elif dtype.kind == "b":
            made[spec.name] = np.ones(shape, bool)
        elif dtype.kind == "f":
            made[spec.name] = rng.standard_normal(shape).astype(dtype)
        else:
            raise ExportError(f"input {spec.name!r} takes {spec.dtype.name}: give an example")
    return made


def named(example: Any, specs: Sequence[Any]) -> dict[str, Array]:
    """An example's arrays by input; one alone need not be named. Raises ExportError."""
    names = [spec.name for spec in specs]
    given = example if isinstance(example, Mapping) else {"": example}
    if len(names) == 1 and list(given) == [""]:
        given = {names[0]: given[""]}
    if set(given) != set(names):
        raise ExportError(f"the example is for {sorted(given)}; the inputs are {names}")
    return {s.name: np.asarray(given[s.name], s.dtype.as_numpy_dtype) for s in specs}


def _sizes(spec: Any) -> list[int]:
    if spec.shape.rank is None:
        raise ExportError(f"the rank of input {spec.name!r} is not known; give an example")
    return [n if n is not None else 7 if i else 2 for i, n in enumerate(spec.shape)]


def _embed(proto: onnx.ModelProto, data: dict[str, bytes]) -> None:
    """Put the weights that tf2onnx keeps apart back where they belong."""
    for tensor in proto.graph.initializer:
        places = {entry.key: entry.value for entry in tensor.external_data}
        if places.get("location") in data:
            tensor.raw_data = data[places["location"]]
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]


@contextmanager
def _inlined_functions() -> Iterator[None]:
    """Compiled functions inside (Keras' grouped convolution) traced as what they consist of."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@contextmanager
def _old_numpy_names() -> Iterator[None]:
    """`np.product`, which tf2onnx asks for in large models and NumPy 2 has not."""
    if hasattr(np, "product"):
        yield
        return
    np.product = np.prod  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del np.product  # type: ignore[attr-defined]
