"""Versions of this package and of the libraries that it uses."""

from __future__ import annotations

import functools
import importlib.metadata

__version__ = "0.1.0"
"""The version of fovbench. `pyproject.toml` reads it from here, so that it is the same installed or not."""


@functools.cache
def library_version(library: str) -> str | None:
    """The version of what `import library` finds, or of the distribution of that name; None if it is not installed."""
    if library == "fovbench":
        return __version__
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        distributions = importlib.metadata.packages_distributions().get(library, [])
        return importlib.metadata.version(distributions[0]) if distributions else None


def optional_requirements() -> list[str] | None:
    """Requirements of the distribution, such as `pytest>=8; extra == "test"`; None where it is not installed."""
    try:
        return importlib.metadata.requires("fovbench") or []
    except importlib.metadata.PackageNotFoundError:
        return None
