"""The version of this package, also where it is run from a checkout without being installed."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """The installed version; `0+uninstalled` where the package runs from a checkout."""
    try:
        return importlib.metadata.version("fovbench")
    except importlib.metadata.PackageNotFoundError:
        return "0+uninstalled"
