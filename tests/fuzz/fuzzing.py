"""Random inputs to everything that reads what users write: bounded, the same in every run, each ended by an alarm."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings

from bench.cli import main

EXAMPLES = int(os.environ.get("FOVBENCH_FUZZ", "60"))
"""Inputs for each test."""
bounded = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
"""The settings of these tests: the same inputs in every run."""
SECONDS = 60
"""After which an input counts as a hang: a hundred times what the slowest one needs."""
MOST_LINES = 6
"""Of a message: usage, and one or two lines of what is wrong."""


class Hang(BaseException):
    """The input took too long."""


@contextlib.contextmanager
def alarm(seconds: int = SECONDS) -> Iterator[None]:
    """Raises Hang in the main thread after `seconds`."""

    def ring(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


def ran(*arguments: str | Path) -> Ended:
    """Run a command in this process; it must end with a known status, and an error in a few plain lines."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), alarm():
        try:
            main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    ended = Ended(status, out.getvalue(), err.getvalue())
    check_message(ended)
    return ended


def check_message(ended: Ended) -> None:
    """No traceback, no error that our code did not expect, no character that a terminal obeys."""
    assert ended.status in range(6), ended
    assert "Traceback" not in ended.err + ended.out, ended.err
    assert "(unexpected" not in ended.err, ended.err
    assert not {c for c in ended.err + ended.out if ord(c) < 32 and c not in "\n\t"}, repr(ended.err)
    if ended.status == 2:
        assert 0 < len(ended.err.strip().splitlines()) <= MOST_LINES, ended.err


def contents(folder: Path) -> Mapping[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
