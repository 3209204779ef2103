"""The code that travels to the nodes of a cluster, by an allow-list, and where it lies there.

What is sent: our packages, the ablation files, and the Python files that keys name (plug-ins, and what they import from
the project). Nothing else of the project's folder: no `.env`, no keys, no `.git`, no results, no data.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.registry import loading
from bench.registry.catalogue import package_folder
from bench.registry.project import located, project
from bench.results.freshness import state
from bench.results.keyed import Keyed, keyed
from bench.results.sources import OURS
from bench.sweep.executors import WorkerError
from bench.sweep.plan import Plan
from bench.sweep.watched import Watched

OF_PACKAGES = (".py", ".css", ".j2", ".js", ".txt", ".typed")
OF_PROJECT = (".py", ".yaml", ".yml")
"""Endings of the files that are sent."""

PROJECT, OTHERS = "project", "others"
"""Folders, below the one that is sent, of the project's files and of plug-ins that lie elsewhere."""


@dataclass(frozen=True)
class Shipment:
    """`files`: (file here, its place below the folder that is sent). `roots`: (folder here, its place there).

    `current` is the place of the current folder there.
    """

    files: tuple[tuple[str, str], ...]
    roots: tuple[tuple[str, str], ...]
    current: str

    def write(self, folder: Path) -> Path:
        """Copy the files into a folder; the folder."""
        (folder / self.current).mkdir(parents=True, exist_ok=True)
        for source, place in self.files:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / place)
        return folder


def shipment(plans: Sequence[Plan]) -> Shipment:
    """What the jobs of these plans need. Raises WorkerError for a current folder outside of the project."""
    home, here = os.path.realpath(project().folder), os.path.realpath(Path.cwd())
    packages = [(os.path.realpath(package_folder(name)), name) for name in OURS]
    own = sorted({os.path.realpath(path) for plan in plans for path in _own_files(plan)})
    folders = dict.fromkeys(os.path.dirname(path) for path in own if not _is_below(path, home))
    roots = (*packages, (home, PROJECT), *((each, f"{OTHERS}/{number}") for number, each in enumerate(folders)))
    sent = [*(file for folder, _ in packages for file in _of_package(Path(folder))), *own]
    if not _is_below(here, home) and here != home:
        raise WorkerError(f"{here}: lies outside of the project {home}; start the run within it")
    return Shipment(tuple((path, moved(path, roots)) for path in sent), roots, moved(here, roots))


def _own_files(plan: Plan) -> Iterator[str]:
    """The files of the user that are sent: of the kinds that are allowed, and no hidden ones."""
    ablation = plan.ablation
    named = [each for each in (*ablation.plugins, ablation.path) if Path(each).suffix in OF_PROJECT]
    targets = (request.variant.architecture.rpartition(":")[0] for request in plan.requests)
    files = [str(located(each)) for each in (*named, *dict.fromkeys(targets)) if each]
    for path in (*files, *keyed(plan.requests, ablation.plugins).texts):
        real = Path(os.path.realpath(path))
        if real.is_file() and real.suffix in OF_PROJECT and not _is_ours(real) and not loading.is_installed(str(real)):
            yield str(real)


def _is_ours(path: Path) -> bool:
    return any(path.is_relative_to(os.path.realpath(package_folder(name))) for name in OURS)


def _of_package(folder: Path) -> Iterator[str]:
    files = (path for path in sorted(folder.rglob("*")) if path.suffix in OF_PACKAGES and path.is_file())
    yield from (
        str(path) for path in files if not any(part.startswith(".") for part in path.parts[len(folder.parts) :])
    )


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def moved(path: str, roots: Iterable[tuple[str, str]]) -> str:
    """Where a path lies on a node; a path below none of the folders that were sent stays as it is."""
    fitting = [(folder, place) for folder, place in roots if path == folder or _is_below(path, folder)]
    if not fitting:
        return path
    folder, place = max(fitting, key=lambda each: len(each[0]))
    return os.path.normpath(os.path.join(place, os.path.relpath(path, folder)))


def relocated(watched: Watched, roots: Sequence[tuple[str, str]]) -> Watched:
    """A job as a node runs it: every file that was sent is named by its place there."""
    texts, closures = watched.keyed.texts, watched.keyed.closures
    code = Keyed(
        {key: tuple(moved(path, roots) for path in paths) for key, paths in closures.items()},
        {moved(path, roots): text for path, text in texts.items()},
        watched.keyed.files,
    )
    folders = tuple((name, moved(folder, roots)) for name, folder in watched.where.plugins)
    where = replace(watched.where, project=moved(watched.where.project, roots), plugins=folders)
    job: Any = watched.job
    return Watched(replace(job, plugins=tuple(moved(each, roots) for each in job.plugins)), code, where)


def resolved(watched: Watched) -> Watched:
    """The job with the real paths of its plug-ins and folders, which only this machine can resolve."""
    folders = tuple((name, os.path.realpath(folder)) for name, folder in watched.where.plugins)
    where = replace(watched.where, project=os.path.realpath(watched.where.project), plugins=folders)
    return Watched(replace(watched.job, plugins=tuple(map(_real, watched.job.plugins))), watched.keyed, where)


def _real(name: str) -> str:
    return os.path.realpath(located(name)) if name.endswith(".py") else name


def other_code(watched: Watched) -> str:
    """The first file behind the job's keys that is another one here than where it was planned; empty for none."""
    for path, text in watched.keyed.texts.items():
        if state(path) != text:
            return path
    return ""
