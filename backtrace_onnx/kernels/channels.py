"""Loops over relevance channels, written out: one text of a kernel for any number of them.

`for k in CHANNELS:` is no loop: its body stands once for every channel, with 0, 1, ... for k. A
name set to CHANNELS stands for a variable of its own in every channel, `name[k]`; `*name` are all
of them. Numba compiles what somebody would have written by hand for so many channels, in the same
time and to the same code: tuples of arrays in its loops would be counted at every element.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

CHANNELS: Any = ()
"""Stands for the channels in kernels that are not written out yet."""


@cache
def written_out(function: Callable[..., Any], channels: int) -> Callable[..., Any]:
    """The function for so many channels; its source file is read anew."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    own = {target.id for node in ast.walk(tree) if _declares(node) for target in _targets(node)}
    written = ast.fix_missing_locations(_Channels(channels, own).visit(tree))
    space = dict(function.__globals__)
    exec(compile(written, function.__code__.co_filename, "exec"), space)  # our own text
    made: Callable[..., Any] = space[function.__name__]
    return made


def _is_channels(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "CHANNELS"


def _declares(node: ast.AST) -> bool:
    """Whether a statement says that names stand for a variable in every channel."""
    return isinstance(node, ast.Assign) and _is_channels(node.value)


def _targets(node: Any) -> Iterator[ast.Name]:
    yield from node.targets


class _Channels(ast.NodeTransformer):
    """Writes loops over CHANNELS out."""

    def __init__(self, channels: int, own: set[str]) -> None:
        self.channels, self.own = channels, own

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if _declares(node) else self.generic_visit(node)

    def visit_For(self, node: ast.For) -> Any:
        if not _is_channels(node.iter) or not isinstance(node.target, ast.Name):
            return self.generic_visit(node)
        one = [_Channel(node.target.id, k, self.own) for k in range(self.channels)]
        return [channel.visit(deepcopy(line)) for channel in one for line in node.body]

    def visit_Starred(self, node: ast.Starred) -> Any:
        if not isinstance(node.value, ast.Name) or node.value.id not in self.own:
            return node
        names = [f"{node.value.id}_{k}" for k in range(self.channels)]
        return [ast.Name(name, ast.Load()) for name in names]


class _Channel(ast.NodeTransformer):
    """Writes a line for channel `k`, which it calls by `name`."""

    def __init__(self, name: str, k: int, own: set[str]) -> None:
        self.name, self.k, self.own = name, k, own

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        of, index = node.value, node.slice
        if isinstance(of, ast.Name) and of.id in self.own and isinstance(index, ast.Name):
            return ast.Name(f"{of.id}_{self.k}", node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(self.k) if node.id == self.name else node
