"""Writes into every node which of the torch module's parts it is a step of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from backtrace_onnx.graph.module_scopes import Scopes, Written, state

if TYPE_CHECKING:
    import torch


def state_modules(proto: onnx.ModelProto, module: torch.nn.Module) -> None:
    """State the modules around every node, with their classes, as far as the exporter tells.

    An operator with a module's own weight belongs to that module, whatever it was fused with.
    """
    classes = {path: type(part).__qualname__ for path, part in module.named_modules()}
    written = Written(proto)
    for node in proto.graph.node:
        path = _owner(node, classes) or _told(written.by_name.get(node.name, ()), classes)
        if path is not None:
            state(node, _around(path, classes))


def _owner(node: onnx.NodeProto, classes: dict[str, str]) -> str | None:
    """The module whose parameter is the node's weight."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or len(node.input) < 2:
        return None
    path, _, parameter = node.input[1].rpartition(".")
    return path if parameter == "weight" and path in classes else None


def _told(scopes: Scopes, classes: dict[str, str]) -> str | None:
    return next((path for path, _ in reversed(scopes) if path in classes), None)


def _around(path: str, classes: dict[str, str]) -> Scopes:
    """The modules from the outermost to the one at `path`."""
    parts = path.split(".") if path else []
    paths = ["", *(".".join(parts[: i + 1]) for i in range(len(parts)))]
    return tuple((p, classes[p]) for p in paths)
