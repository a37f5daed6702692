"""A torch module's example: its tensors, their names, and which of their axes may vary."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.comparing import Array, Feeds
from backtrace_onnx.exporters.trials import BATCH, SEQUENCE
from backtrace_onnx.model.sessions import first_line

Dynamic = bool | Mapping[str, Mapping[int, str]]
Axes = dict[str, dict[int, str]]


@dataclass(frozen=True)
class Call:
    """How a module is called.

    Attributes:
        leaves: everything in the arguments, nested or not, in order.
        names: a name for every tensor among the leaves.
    """

    module: torch.nn.Module
    leaves: tuple[Any, ...]
    spec: Any
    names: tuple[str, ...]

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors by name."""
        found = (leaf for leaf in self.leaves if isinstance(leaf, torch.Tensor))
        return dict(zip(self.names, found, strict=True))

    @property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments."""
        args, kwargs = pytree.tree_unflatten(list(self.leaves), self.spec)
        return args, kwargs

    @property
    def feeds(self) -> dict[str, Array]:
        """The tensors as arrays."""
        return {name: array(x) for name, x in self.tensors.items()}

    def with_tensors(self, tensors: Mapping[str, torch.Tensor]) -> Call:
        """The same call with other tensors."""
        own = self.tensors
        new = iter([tensors.get(name, x) for name, x in own.items()])
        leaves = (next(new) if isinstance(x, torch.Tensor) else x for x in self.leaves)
        return replace(self, leaves=tuple(leaves))

    def run(self) -> Any:
        """What the module returns."""
        args, kwargs = self.arguments
        with torch.no_grad():
            return self.module(*args, **kwargs)

    def run_on(self, feeds: Feeds) -> list[Array]:
        """What the module returns for these arrays, flattened."""
        own = self.tensors
        given = {k: torch.tensor(x).to(own[k].device, own[k].dtype) for k, x in feeds.items()}
        return [array(y) for y in outputs(self.with_tensors(given).run()).values()]


def make_call(module: torch.nn.Module, example: Any, names: Sequence[str] | None) -> Call:
    """The call that an example stands for: a tensor, a tuple of arguments, or a dict by name.

    Raises ExportError where there is no tensor in it, or the names do not fit.
    """
    kwargs = dict(example) if isinstance(example, Mapping) else {}
    args = () if kwargs else example if isinstance(example, tuple) else (example,)
    args, kwargs = pytree.tree_map(_tensor, (args, kwargs))
    paths, spec = pytree.tree_flatten_with_path((args, kwargs))
    leaves = tuple(leaf for _, leaf in paths)
    found = [_name(module, path) for path, leaf in paths if isinstance(leaf, torch.Tensor)]
    if not found:
        raise ExportError("the example holds no tensor; give the arguments of the module's forward")
    if names is not None and len(names) != len(found):
        raise ExportError(
            f"{len(names)} input name(s) for {len(found)} tensor(s): {', '.join(found)}"
        )
    return Call(module, leaves, spec, tuple(names or found))


def outputs(returned: Any) -> dict[str, torch.Tensor]:
    """The tensors a module returns, by name: keys and fields keep theirs."""
    paths, _ = pytree.tree_flatten_with_path(returned)
    found = [(path, leaf) for path, leaf in paths if isinstance(leaf, torch.Tensor)]
    return {
        ".".join(map(_key, path))
        if _spoken(path)
        else f"output_{i}"
        if len(found) > 1
        else "output": leaf
        for i, (path, leaf) in enumerate(found)
    }


def find_axes(call: Call, dynamic: Dynamic) -> list[Axes]:
    """The axes to leave open, the best first: batch and sequence, or the batch alone.

    A sequence is open only if the module runs with another length. Raises ExportError if the module
    does not run on another batch size, or names do not fit.
    """
    if dynamic is False:
        return [{}]
    if dynamic is not True:
        _check_axes(call, dynamic)
        return [{name: dict(axes) for name, axes in dynamic.items()}]
    axes = _batch_axes(call)
    trouble = _trouble(call, axes)
    if trouble is not None:
        raise ExportError(
            f"the module does not run on a batch of another size ({trouble}); make it, or pass "
            "dynamic=False to export it for the sizes of the example alone"
        )
    for wide in (False, True):
        sequences = _sequence_axes(call, axes, wide)
        if sequences and _trouble(call, sequences) is None:
            return [_merged(axes, sequences), axes]
    return [axes]


def roomy(call: Call, axes: Axes) -> Call:
    """The call with no open axis of size 1, which exporters take for a fixed size."""
    sizes = {
        name: {a: max(2, call.tensors[name].shape[a]) for a in own} for name, own in axes.items()
    }
    return _sized(call, sizes)


def array(x: torch.Tensor) -> Array:
    """A tensor as a NumPy array; bfloat16 becomes float32."""
    plain = x.detach().cpu()
    return np.asarray(plain.float() if plain.dtype == torch.bfloat16 else plain)


def _tensor(x: Any) -> Any:
    return torch.as_tensor(x) if isinstance(x, np.ndarray) else x


def _name(module: torch.nn.Module, path: Sequence[Any]) -> str:
    """The parameter of forward, and where in it a nested tensor is."""
    where, *rest = path[1:]
    if path[0].idx == 0:
        parameters = list(inspect.signature(module.forward).parameters.values())
        place = min(where.idx, len(parameters) - 1) if parameters else 0
        own = parameters[place] if parameters else None
        several = own is None or own.kind is inspect.Parameter.VAR_POSITIONAL
        base = f"input_{where.idx}" if several or own is None else own.name
    else:
        base = str(where.key)
    return ".".join([base, *map(_key, rest)])


def _key(part: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)


def _spoken(path: Sequence[Any]) -> bool:
    """Whether a path begins with a key or field, not with a place in a tuple."""
    return bool(path) and not hasattr(path[0], "idx")


def _check_axes(call: Call, axes: Mapping[str, Mapping[int, str]]) -> None:
    for name, own in axes.items():
        if name not in call.names:
            raise ExportError(f"dynamic: no input {name!r}; there are: {', '.join(call.names)}")
        for axis in own:
            if not 0 <= axis < call.tensors[name].ndim:
                raise ExportError(f"dynamic: input {name!r} has no axis {axis}")


def _batch_axes(call: Call) -> Axes:
    """The first axis of every input that is as long as that of the first one."""
    shapes = {name: x.shape for name, x in call.tensors.items() if x.ndim}
    count = next((shape[0] for shape in shapes.values()), 0)
    return {name: {0: BATCH} for name, shape in shapes.items() if shape[0] == count}


def _sequence_axes(call: Call, batch: Axes, wide: bool) -> Axes:
    """Axis 1 of [batch, ids] and [batch, steps, features]; `wide`: and of what is as long."""
    tensors = {name: x for name, x in call.tensors.items() if name in batch and x.ndim > 1}
    sure = {name: x for name, x in tensors.items() if x.ndim == (3 if x.is_floating_point() else 2)}
    lengths = {x.shape[1] for x in sure.values()}
    if len(lengths) != 1:
        return {}
    if wide:
        sure = {name: x for name, x in tensors.items() if x.shape[1] in lengths}
    return {name: {1: SEQUENCE} for name in sure}


def _trouble(call: Call, axes: Axes) -> str | None:
    """Why the module does not run with other sizes of these axes; None if it does."""
    others: dict[str, dict[int, int]] = {}
    for name, own in axes.items():
        shape = call.tensors[name].shape
        others[name] = {a: shape[a] + 1 if a == 0 or shape[a] < 3 else shape[a] - 1 for a in own}
    try:
        _sized(call, others).run()
    except Exception as error:  # whatever the module's own code raises
        return first_line(error)
    return None


def _sized(call: Call, sizes: Mapping[str, Mapping[int, int]]) -> Call:
    """The call with tensors cut or repeated to these sizes."""
    tensors = call.tensors
    for name, own in sizes.items():
        for axis, size in own.items():
            x = tensors[name]
            places = torch.arange(size, device=x.device) % x.shape[axis]
            tensors[name] = x.index_select(axis, places)
    return call.with_tensors(tensors)


def _merged(first: Axes, second: Axes) -> Axes:
    return {name: {**own, **second.get(name, {})} for name, own in first.items()}


__all__ = ["Axes", "Call", "Dynamic", "array", "find_axes", "make_call", "outputs", "roomy"]
