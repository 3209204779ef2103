"""Imports modules in advance: what the fork server does before it starts jobs.

A module that cannot be imported is reported and left to the jobs that need it, whose measurements have the error.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterable, Iterator

VARIABLE = "FOVBENCH_PRELOAD"
"""Environment variable with names of modules, separated by commas. A fork server that replaces a killed one has it."""


def imported(names: Iterable[str]) -> Iterator[str]:
    """Import the modules; a line for each reason why some cannot be imported. What they print goes to stderr."""
    reasons: set[str] = set()
    for name in names:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                importlib.import_module(name)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            if reason not in reasons:
                yield f"{name} cannot be imported in advance, so each job imports it: {reason}"
            reasons.add(reason)
