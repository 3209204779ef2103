"""Work with other code: in another project folder, with our packages from another root."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.sweep.executors import imports

OURS = ("bench", "architectures")
LIBRARIES = ("torch", "torch._dynamo", "torchvision", "timm")
"""What the fork server imports once; the code of a side is imported by each process anew."""


class ElsewhereError(RuntimeError):
    """What went wrong in a process of another folder: the text of its error."""


def context() -> Any:
    """How processes start: from a fork server that has imported torch, or anew where the system has no fork."""
    methods = multiprocessing.get_all_start_methods()
    chosen: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        os.environ.setdefault(imports.VARIABLE, ",".join(LIBRARIES))
        chosen.set_forkserver_preload(["bench.sweep.roots", "bench.sweep.executors.in_advance"])
    return chosen


def start(process: Any) -> None:
    """Start a process that looks for modules where this one does."""
    with imports.with_our_path():
        process.start()


def move(folder: str, root: str) -> None:
    """Work in a folder, and import our packages from a root; empty: those of this process."""
    if folder:
        os.chdir(folder)
    if not root or Path(root, "bench") == Path(__file__).parents[1]:
        return
    sys.path.insert(0, root)
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # of what is started from here
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]


def elsewhere(function: Callable[..., Any], folder: str, root: str, *arguments: Any) -> Any:
    """What a module's function gives in a process that works in `folder` with the packages of `root`.

    Raises ElsewhereError with the text of what it raised.
    """
    ours, theirs = multiprocessing.Pipe()
    name = (function.__module__, function.__name__)
    process = context().Process(target=_perform, args=(theirs, name, folder, root, arguments))
    start(process)
    theirs.close()
    try:
        worked, answer = ours.recv()
    except EOFError:
        process.join()
        raise ElsewhereError(f"its process died with status {process.exitcode}") from None
    process.join()
    if not worked:
        raise ElsewhereError(answer)
    return answer


def _perform(pipe: Connection, name: tuple[str, str], folder: str, root: str, arguments: tuple[Any, ...]) -> None:
    os.dup2(2, 1)
    try:
        move(folder, root)
        module, function = name
        answer = True, getattr(importlib.import_module(module), function)(*arguments)
    except BaseException as error:  # sys.exit is an answer too
        answer = False, str(error) or type(error).__name__
    with contextlib.suppress(OSError):
        pipe.send(answer)
