"""What fovbench brings along besides code: its ablations, their results bundles and their expected numbers.

Ablations of the project come first: the files in its folder `ablations/`.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.registry.project import project

PACKAGE = Path(__file__).parents[1]
"""The folder of the package `bench`."""


def home() -> Path:
    """The folder with `ablations/` and `results/`: in the installed package, or its checkout."""
    packaged = PACKAGE / "builtin"
    return packaged if packaged.is_dir() else PACKAGE.parent


def is_builtin(file: str | Path) -> bool:
    """Whether a file is one of the ablations that fovbench brings along."""
    return Path(os.path.realpath(file)).parent == Path(os.path.realpath(home() / "ablations"))


def folders() -> tuple[Path, Path]:
    """The project's folder of ablations, and that of fovbench."""
    return project().place("ablations"), home() / "ablations"


def files() -> list[Path]:
    """The files of all ablations, sorted by name; one of the project hides one of fovbench with the same name."""
    by_name = {file.stem: file for folder in reversed(folders()) for file in folder.glob("*.yaml") if file.is_file()}
    return [by_name[name] for name in sorted(by_name)]


def all_names() -> list[str]:
    """The names of all ablations, sorted."""
    return [file.stem for file in files()]


def own_names() -> list[str]:
    """The ablations of the project's folder, sorted."""
    return [file.stem for file in files() if file.parent == folders()[0]]


def names() -> list[str]:
    """The ablations of the project's folder, sorted; where it has none, those that fovbench brings along."""
    return own_names() or all_names()
