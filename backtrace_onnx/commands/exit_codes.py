"""How a command ends: its exit code, and what is said where it fails."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from backtrace_onnx.errors import BacktraceError
from backtrace_onnx.messages.terminal_text import visible


def run(commands: click.Command, arguments: Sequence[str] | None) -> int:
    """Run a command; 0 where nobody reads on (`| head`), too, and nothing is said then."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = _run(commands, arguments)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # click leaves by SystemExit where a pipe is broken
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)
        return 0
    return code


def _run(commands: click.Command, arguments: Sequence[str] | None) -> int:
    try:
        code = commands.main(arguments, "backtrace-onnx", standalone_mode=False)
        return code if isinstance(code, int) else 0  # click returns that of an Exit
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.message = visible(error.message, lines=True)  # type: ignore[misc]
        error.show()
        return 2
    except BacktraceError as error:
        return _fail(visible(str(error), lines=error.in_lines), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        raise
    except MemoryError:
        return _fail("not enough memory", 1)
    except Exception as error:
        if os.environ.get("BACKTRACE_ONNX_DEBUG"):
            raise
        what = visible(f"{type(error).__name__}: {error}", lines=True)
        return _fail(f"unexpected {what} (set BACKTRACE_ONNX_DEBUG=1 to see where)", 1)


def _let_go(stream: Any) -> None:
    """What is still to be written to a stream that nobody reads goes nowhere."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (AttributeError, OSError, ValueError):  # a stream without a file
        return


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    click.echo(f"Warning: {visible(str(message))}", err=True)


def _fail(text: str, code: int) -> int:
    click.echo(f"Error: {text}", err=True)
    return code
