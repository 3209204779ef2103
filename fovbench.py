"""The command `bench`, and `python -m fovbench`: both run the installed package, whatever else is called `bench`.

The current folder, and folders of PYTHONPATH, may have packages `bench` or `architectures` of the user's own. This
module has a name that nobody else takes; it looks for the two beside itself first.
"""

from __future__ import annotations

import sys
from pathlib import Path


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
