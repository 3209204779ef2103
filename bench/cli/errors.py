"""What a command prints when it fails: one or two plain lines, and the traceback on request."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

import click

from bench.cli.options import echo_error

INTERRUPTED = "interrupted; all results so far are stored: run the same command again to go on"
FAILURE = 2
UNREAD = 141
"""Exit status where nobody reads the output any more, as of a program that SIGPIPE ends."""
DEBUG = "bench.debug"
"""The place of `--debug` in what the contexts of a command share."""
MAX_LINES = 2
MAX_CHARACTERS = 1000


class ClosedPipe(Exception):  # noqa: N818 - the name says what happened
    """Somebody stopped reading: standard output (`bench list | head -1`), or another pipe."""


def flush_output() -> None:
    """Write what is left now: at the interpreter's end nobody could say that it failed. Raises OSError."""
    try:
        sys.stdout.flush()
    except OSError:
        _discard(sys.stdout)
        raise


def _discard(stream: TextIO) -> None:
    """Let what is still in the buffer go nowhere: the interpreter's end would fail with a status of its own."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _output_is_unread() -> bool:
    """Whether standard output is a pipe whose reader has gone; where the system cannot tell, it is taken to be."""
    if not hasattr(select, "poll"):
        return True
    try:
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in output.poll(0))
    except (OSError, ValueError):  # a stream without a file
        return False


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
    try:
        return _report(error, debug)
    except OSError:  # stderr cannot be written either: the exit status is all that can be said
        _discard(sys.stderr)
        return FAILURE


def _report(error: BaseException, debug: bool) -> int:
    if isinstance(error, BrokenPipeError) or (isinstance(error, ClosedPipe) and _output_is_unread()):
        _discard(sys.stdout)
        return UNREAD
    if isinstance(error, ClosedPipe):
        error = error.__cause__ or error
    if isinstance(error, click.exceptions.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # click takes the end of a truncated file for the end of the keyboard's input
    if isinstance(error, (click.exceptions.Abort, KeyboardInterrupt)):
        echo_error(INTERRUPTED)
        return 130
    if debug and not isinstance(error, click.UsageError):
        echo_error(without_passwords("".join(traceback.format_exception(error)).rstrip()))
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        echo_error(error.ctx.get_help() if error.ctx else str(error))
        return FAILURE
    if isinstance(error, click.UsageError) and error.ctx is not None:
        echo_error(error.ctx.get_usage())
    echo_error(f"error: {without_passwords(described(error))}")
    return FAILURE


PASSWORD = re.compile(r"(?<=:/)(/?[^\s:/@]*):[^\s@]+(?=@)")
"""The user and the password of a URL, also of one whose slashes became one on the way through a path."""


def without_passwords(text: str) -> str:
    """An error's text, with three stars for the password of every URL in it: one may stand where no store is meant."""
    return PASSWORD.sub(r"\1:***", text)


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
    text = _own_text(error).strip()
    return text if _expected(error) else text.partition("\n")[0]


def _own_text(error: BaseException) -> str:
    try:
        return str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    except Exception as fault:  # the text is made by foreign code
        return f"its text cannot be shown ({type(fault).__name__})"


def _expected(error: BaseException) -> bool:
    """Whether the text is written for the user: errors of our classes, of the system, and plain ones with a text."""
    kind = type(error)
    ours = kind.__module__.partition(".")[0] in ("bench", "architectures")
    plain = kind in (ValueError, RuntimeError, LookupError) and bool(_own_text(error))
    return ours or plain or isinstance(error, (OSError, click.ClickException))
