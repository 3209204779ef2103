"""Work with other code: in another project folder, with our packages from another root."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.sweep.executors import imports
from bench.sweep.executors.local import end_process, perform_supervised

OURS = ("bench", "architectures")
PRELOADED = ("torch", "torch._dynamo", "torchvision", "timm", "bench.sweep.side_process")
"""What the fork server imports once; the code of another root is imported by each process anew."""


class ElsewhereError(RuntimeError):
    """What went wrong in a process of another folder: the text of its error."""


def context() -> Any:
    """How processes start: from a fork server that has imported torch, or anew where the system has no fork."""
    methods = multiprocessing.get_all_start_methods()
    chosen: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        os.environ.setdefault(imports.VARIABLE, ",".join(PRELOADED))
        chosen.set_forkserver_preload(["bench.sweep.roots", "bench.sweep.executors.in_advance"])
    return chosen


def start(process: Any) -> None:
    """Start a process that looks for modules where this one does."""
    with imports.with_our_path():
        process.start()


def is_ours(root: str) -> bool:
    """Whether our packages of this root are those of this process; empty: they are."""
    return not root or Path(root, "bench") == Path(__file__).parents[1]


def move(folder: str, root: str, anew: bool = False) -> None:
    """Work in a folder, and import our packages from a root; `anew`: also where those of this process are the same."""
    if folder:
        os.chdir(folder)
    if not is_ours(root):
        sys.path.insert(0, root)
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # of what is started from here
    if anew or not is_ours(root):
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]


LIMIT = 300.0
"""Seconds without an answer after which a process hangs: a measurement, the build of a network, a turn."""


class SilenceError(RuntimeError):
    """A process that gave no answer in time."""


class Remote:
    """A process that runs `target(pipe, *arguments)`, and the other end of that pipe. Use it in a `with` statement.

    At the end the process is ended with all that it started, also where this process is killed. Ctrl-C is for this
    process alone. `daemon` as in multiprocessing: False for a process that starts workers itself.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any, daemon: bool) -> None:
        started = context()
        (self.pipe, theirs), (self._report, reporting) = started.Pipe(), started.Pipe(duplex=False)
        call = (target, theirs, reporting, arguments)
        self._process = started.Process(target=_supervised, args=call, daemon=daemon)
        start(self._process)
        theirs.close()
        reporting.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        end_process(self._process)
        self._process.join()
        self.pipe.close()
        self._report.close()

    def receive(self, limit: float) -> Any:
        """Its next message. Raises SilenceError after `limit` seconds, EOFError with its exit status if it died."""
        if not self.pipe.poll(limit):
            raise SilenceError(f"no answer within {limit:g} s")
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            raise EOFError(f"its process died with status {self._status()}") from None

    def _status(self) -> int | None:
        with contextlib.suppress(EOFError, OSError):
            if self._report.poll(5.0):
                return int(self._report.recv())
        self._process.join(5.0)
        code: int | None = self._process.exitcode
        return code


def _supervised(target: Callable[..., None], pipe: Connection, report: Connection, arguments: tuple[Any, ...]) -> None:
    perform_supervised(partial(target, pipe, *arguments), pipe, report)


def elsewhere(function: Callable[..., Any], folder: str, root: str, *arguments: Any, limit: float = LIMIT) -> Any:
    """What `function(*arguments, alive)` gives in a process that works in `folder` with the packages of `root`.

    `function` is of a module; it calls `alive` as a sign of life. Raises ElsewhereError with the text of what it
    raised, and for a process that gives none for `limit` seconds.
    """
    name = (function.__module__, function.__name__)
    with Remote(_perform, name, folder, root, arguments, daemon=False) as process:
        try:
            while (answer := process.receive(limit)) is None:
                pass
        except SilenceError:
            raise ElsewhereError(
                f"no answer within {limit:g} s: a network hangs when it is built or imported"
            ) from None
        except EOFError as error:
            raise ElsewhereError(str(error)) from None
    worked, result = answer
    if not worked:
        raise ElsewhereError(result)
    return result


def _perform(pipe: Connection, name: tuple[str, str], folder: str, root: str, arguments: tuple[Any, ...]) -> None:
    try:
        move(folder, root)
        module, function = name
        answer = True, getattr(importlib.import_module(module), function)(*arguments, lambda: pipe.send(None))
    except BaseException as error:  # sys.exit is an answer too
        answer = False, str(error) or type(error).__name__
    with contextlib.suppress(OSError):
        pipe.send(answer)
