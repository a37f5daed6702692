"""What rich prints, without anything in it that steers the terminal but rich's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from backtrace_onnx.messages.terminal_text import visible


class SafeConsole(Console):
    """A console on which every text is one line of visible characters."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts with what is not visible spelled out."""
        super().print(*map(_visible, objects), **options)

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError: who reads has enough, and the command line ends."""
        raise BrokenPipeError

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """The last gate: whatever way a text came, rich's own controls and styles apart."""
        return super()._render_buffer(
            part if part.control else part._replace(text=visible(part.text, lines=True))
            for part in buffer
        )


class SafeTable(Table):
    """A table whose cells are visible characters."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row, with what is not visible spelled out."""
        super().add_row(*map(_visible, cells), **options)


def _visible(x: Any) -> Any:
    """A text in one line; texts of several styles are left to the last gate."""
    if isinstance(x, str):
        return visible(x)
    if isinstance(x, Text) and not x.spans:
        return Text(visible(x.plain), style=x.style)
    return x
