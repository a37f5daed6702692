"""Where text goes: tables on stdout, errors and progress on stderr."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from threading import Lock, Timer
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

PATIENCE = 2.0  # seconds until progress is shown


def console(stream: TextIO | None = None) -> Console:
    """A console that prints text without markup, and never cuts lines that are piped."""
    from backtrace_onnx.report.safe_text import SafeConsole

    stream = stream or sys.stdout
    width = None if stream.isatty() else 10_000
    return SafeConsole(file=stream, width=width, markup=False, highlight=False, emoji=False)


def table(to: Console, *columns: str, right: tuple[int, ...] = ()) -> Table:
    """A table ruled on a terminal, plain columns elsewhere; `right` are columns of numbers."""
    from rich import box

    from backtrace_onnx.report.safe_text import SafeTable

    rule = box.SIMPLE_HEAD if to.is_terminal else None
    made = SafeTable(box=rule, pad_edge=False, header_style="bold", show_edge=False)
    for i, name in enumerate(columns):
        made.add_column(name, justify="right" if i in right else "left", overflow="fold")
    return made


def show(to: Console, rows: Table) -> None:
    """Print a table, without blanks at the ends of lines where it is piped."""
    if to.is_terminal:
        to.print(rows)
        return
    with to.capture() as printed:
        to.print(rows)
    lines = printed.get().splitlines()
    to.file.write("".join(f"{line.rstrip()}\n" for line in lines))


class Waiting(AbstractContextManager["Waiting"]):
    """Shows on stderr what is going on once it takes longer than two seconds; quiet when piped."""

    def __init__(self, doing: str, *, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._doing, self._done, self._total = doing, 0, 0
        self._shown: tuple[Progress, TaskID] | None = None
        self._lock, self._over = Lock(), False
        self._timer = Timer(PATIENCE, self._show)
        self._timer.daemon = True

    def __enter__(self) -> Waiting:
        if self._stream.isatty():
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._shown:
                self._shown[0].stop()

    def say(self, doing: str) -> None:
        """Change what is said to be going on."""
        with self._lock:
            self._doing, self._done, self._total = doing, 0, 0
            self._update()

    def doing(self, doing: str, done: int, total: int) -> None:
        """Change what is said, and how many of how many steps are done."""
        with self._lock:
            self._doing, self._done, self._total = doing, done, total
            self._update()

    def advance(self, done: int, total: int) -> None:
        """Tell how many of how many steps are done."""
        with self._lock:
            self._done, self._total = done, total
            self._update()

    def _update(self) -> None:
        if self._shown:
            progress, task = self._shown
            total = self._total or None
            progress.update(task, description=self._doing, completed=self._done, total=total)

    def _show(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        words = TextColumn("{task.description}", markup=False)
        progress = Progress(
            words, BarColumn(), TimeElapsedColumn(), console=console(self._stream), transient=True
        )
        with self._lock:
            if self._over:
                return
            progress.start()
            self._shown = (progress, progress.add_task(self._doing, total=None))
            self._update()
