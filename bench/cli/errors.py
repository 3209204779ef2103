"""What a command prints when it fails: one or two plain lines, and the traceback on request."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from bench.cli.options import echo_error

INTERRUPTED = "interrupted; all results so far are stored: run the same command again to go on"
DEBUG = "bench.debug"
"""The place of `--debug` in what the contexts of a command share."""
MAX_LINES = 2
MAX_CHARACTERS = 1000


def _note_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[DEBUG] = value or context.meta.get(DEBUG, False)


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_note_debug, help="Show the traceback of an error."
)


def shows_tracebacks() -> bool:
    """Whether the running command prints tracebacks: `--debug` before or after its name, or FOVBENCH_DEBUG."""
    return debugging(["--debug"] if click.get_current_context().meta.get(DEBUG) else [])


def debugging(arguments: Sequence[str] | None) -> bool:
    """Whether a traceback is requested, by `--debug` or by FOVBENCH_DEBUG."""
    variable = os.environ.get("FOVBENCH_DEBUG", "").strip().lower()
    return "--debug" in (sys.argv[1:] if arguments is None else arguments) or variable not in ("", "0", "false", "no")


def report(error: BaseException, debug: bool) -> int:
    """Print an error to stderr, with its traceback if `debug`; returns the exit status."""
    if isinstance(error, click.exceptions.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # click takes the end of a truncated file for the end of the keyboard's input
    if isinstance(error, (click.exceptions.Abort, KeyboardInterrupt)):
        echo_error(INTERRUPTED)
        return 130
    if debug and not isinstance(error, click.UsageError):
        echo_error("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        echo_error(error.ctx.get_usage())
    echo_error(f"error: {described(error)}")
    return 2


def described(error: BaseException) -> str:
    """The first two lines of an error's text; begins with the error's type where our code did not expect it."""
    text = _text(error)
    if not _expected(error):
        text = f"{type(error).__name__}: {text}".rstrip(": ") + " (unexpected; --debug shows where)"
    return "\n".join(line[:MAX_CHARACTERS] for line in text.splitlines()[:MAX_LINES])


def _text(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = str(text).strip()
    return text if _expected(error) else text.partition("\n")[0]


def _expected(error: BaseException) -> bool:
    """Whether the text is written for the user: errors of our classes, of the system, and plain ones with a text."""
    kind = type(error)
    ours = kind.__module__.partition(".")[0] in ("bench", "architectures")
    plain = kind in (ValueError, RuntimeError, LookupError) and bool(str(error))
    return ours or plain or isinstance(error, (OSError, click.ClickException))
