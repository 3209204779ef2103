"""Imports modules in advance: what the fork server does before it starts jobs.

A module that cannot be imported is reported and left to the jobs that need it, whose measurements have the error.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator, MutableMapping

from bench.registry.catalogue import import_module

VARIABLE = "FOVBENCH_PRELOAD"
"""Environment variable with names of modules, separated by commas. A fork server that replaces a killed one has it."""

SAVED = "FOVBENCH_SAVED_"
"""Begins the names of the variables that keep what PATHS were before, while a fork server starts."""
PATHS = ("PYTHONPATH", "PYTHONSAFEPATH")
_lock = threading.Lock()


@contextlib.contextmanager
def with_our_path() -> Iterator[None]:
    """A Python process that starts meanwhile looks for modules where this one does.

    By itself it would look into the current folder first, which may have a `bench` or a `random.py` of the user's own.
    """
    path = os.pathsep.join(dict.fromkeys(os.path.abspath(folder) for folder in sys.path))
    before = {f"{SAVED}{name}": os.environ[name] for name in PATHS if name in os.environ}
    with _lock, _without_command():
        os.environ.update({"PYTHONPATH": path, "PYTHONSAFEPATH": "1", **before})
        try:
            yield
        finally:
            restore(os.environ)


@contextlib.contextmanager
def _without_command() -> Iterator[None]:
    """A Python process that starts meanwhile does not import the script of this one where that is an installed command.

    multiprocessing runs the script in each process, for what it defines. A command (`bench`, `pytest`) defines nothing,
    and imports much. A main module of a package is left out by multiprocessing itself.
    """
    main = sys.modules["__main__"]
    folder = os.path.dirname(os.path.abspath(getattr(main, "__file__", None) or ""))
    if getattr(main, "__spec__", None) is not None or folder != sysconfig.get_path("scripts"):
        yield
        return
    main.__spec__ = importlib.machinery.ModuleSpec("command.__main__", None)
    try:
        yield
    finally:
        main.__spec__ = None


def restore(environment: MutableMapping[str, str]) -> None:
    """Put the variables back that `with_our_path` changed."""
    for name in PATHS:
        environment.pop(name, None)
        if f"{SAVED}{name}" in environment:
            environment[name] = environment.pop(f"{SAVED}{name}")


def imported(names: Iterable[str]) -> Iterator[str]:
    """Import the modules; a line for each reason why some cannot be imported. What they print goes to stderr."""
    reasons: set[str] = set()
    for name in names:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                import_module(name)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            if reason not in reasons:
                yield f"{name} cannot be imported in advance, so each job imports it: {reason}"
            reasons.add(reason)
