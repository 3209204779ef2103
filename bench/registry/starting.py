"""A new project to start from: what `bench init` writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bench.registry.project import FILE, ProjectError
from bench.registry.writing import write_text

STARTER = Path(__file__).parent / "starter"
FILES: Mapping[str, str] = {
    FILE: "fovbench.toml",
    "network.py": "network.py",
    "layers.py": "layers.py",
    "stripes.py": "stripes.py",
    "metric.py": "metric.py",
    "ablations/skip.yaml": "skip.yaml",
    "results/expected/skip.csv": "skip.csv",
    ".gitignore": "gitignore",
}
"""File of the project -> its template."""
WORKFLOWS: Mapping[str, Mapping[str, str]] = {
    "github": {".github/workflows/fovbench.yml": "github.yml"},
    "gitlab": {".gitlab-ci.yml": "gitlab.yml"},
}


def start(folder: Path, ci: str | None = None) -> list[Path]:
    """Write a small project that works: network, dataset, metric, ablation and expectations; the files.

    `ci` adds a workflow file for `github` or `gitlab`. Nothing is overwritten: raises ProjectError, and writes nothing,
    where one of the files exists.
    """
    files = {folder / name: template for name, template in {**FILES, **WORKFLOWS.get(ci or "", {})}.items()}
    if there := [path for path in files if os.path.lexists(path)]:
        others = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise ProjectError(f"{there[0]}{others}: there already; nothing is overwritten: name an empty folder")
    return [write_text(path, (STARTER / f"{template}.txt").read_text("utf-8")) for path, template in files.items()]
