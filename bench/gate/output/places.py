"""Where in the repository a judgement belongs: the line that fails, the network in a plug-in, or the ablation."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bench.gate.output.outcome import Judgement
from bench.registry.builtin import files
from bench.registry.project import project

LINE = re.compile(r"\(([^():]+\.py):(\d+)\)\s*$")
"""The place at the end of an error: `ValueError: oops (network.py:17)`."""


@dataclass(frozen=True)
class Place:
    """A file, relative to the repository, and a line of it, from 1."""

    file: str
    line: int


def place_of(row: Judgement) -> Place | None:
    """The place of a judgement; None where no file of the repository is known."""
    return _of_error(row.text) or _of_network(row.variant) or _of_ablation(row.ablation)


def _of_error(text: str) -> Place | None:
    match = LINE.search(text)
    if match is None:
        return None
    file = project().place(match[1])
    return _place(file, int(match[2])) if file.is_file() else None


def _of_network(variant: str) -> Place | None:
    """The definition of the variant's architecture in a plug-in of the project."""
    name = variant.partition("(")[0]
    if not name:  # of the whole ablation
        return None
    for plugin in map(Path, project().plugins):
        if plugin.is_file() and (line := _line(plugin, rf"(def|class)\s+{re.escape(name)}\b")):
            return _place(plugin, line)
    return None


def _of_ablation(name: str) -> Place | None:
    file = next((file for file in files() if file.stem == name), None)
    return _place(file, _line(file, "architecture:") or 1) if file else None


def _line(file: Path, pattern: str) -> int:
    """The first line that begins with a pattern, from 1; 0 where none does."""
    lines = file.read_text("utf-8", "replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if re.match(pattern, line)), 0)


def _place(file: Path, line: int) -> Place | None:
    """Relative to the repository; None for a file outside of it."""
    top, real = _top(), Path(os.path.realpath(file))
    return Place(real.relative_to(top).as_posix(), line) if real.is_relative_to(top) else None


def _top() -> Path:
    """The folder with `.git` that the project is in; without one, the project's."""
    folder = Path(os.path.realpath(project().folder))
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
