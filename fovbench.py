"""The command `bench`, and `python -m fovbench`: both run the installed package, whatever else is called `bench`.

The current folder, and folders of PYTHONPATH, may have packages `bench` or `architectures` of the user's own. This
module has a name that nobody else takes; it looks for the two beside itself first.

It is a plug-in of pytest too, which does nothing without `pytest --bench-gate`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

SERVES = "FOVBENCH_BENCHMARK_PIPE"
"""Environment variable of a process of pytest that the gate started: the file descriptor of its pipe."""


def main() -> None:
    """Entry point of the command."""
    hidden = _hide_others("bench")
    try:
        from bench.cli import main as command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "bench":
            raise
        origin = getattr(sys.modules.get("bench"), "__file__", None) or ", ".join(hidden)
        raise SystemExit(f"error: {origin} hides fovbench's package 'bench'; rename it") from None
    command()


def pytest_addoption(parser: Any) -> None:
    """The options of the gate of pytest-benchmark."""
    group = parser.getgroup("fovbench", "gate of benchmark functions (fovbench)")
    group.addoption(
        "--bench-gate",
        metavar="REV",
        nargs="?",
        const="HEAD",
        help="Time each benchmark function against the one of a git revision (--bench-gate=main; default: HEAD).",
    )
    group.addoption(
        "--bench-gate-budget", metavar="SECONDS", type=float, default=60.0, help="For all of them together."
    )
    group.addoption("--bench-gate-tolerance", metavar="PERCENT", default="3%", help="3%% or 0.03 (the default).")


def pytest_configure(config: Any) -> None:
    """Load the gate where it is asked for; a process that the gate started answers it."""
    if SERVES in os.environ:
        _hide_others("bench")
        from bench.sweep.benchmark_side import Side

        config.pluginmanager.register(Side(int(os.environ.pop(SERVES))), "fovbench-side")
    elif config.getoption("--bench-gate") is not None and not hasattr(config, "workerinput"):
        _hide_others("bench")
        from bench.cli.pytest_gate import Gate

        config.pluginmanager.register(Gate(config), "fovbench-gate")


def _hide_others(name: str) -> list[str]:
    """Put the folders of `sys.path` that hold another package of this name behind all others; which these are."""
    home = Path(__file__).resolve().parent
    others = [folder for folder in sys.path if _holds(Path(folder), name) and Path(folder).resolve() != home]
    sys.path[:] = [folder for folder in sys.path if folder not in others] + others
    return others


def _holds(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()


if __name__ == "__main__":
    main()
