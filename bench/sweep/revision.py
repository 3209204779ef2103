"""Two revisions of a project: what each has, what differs between them, and pairs of what is to be timed."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.registry import Metric, RegistryError
from bench.registry.builtin import PACKAGE, all_names, names
from bench.registry.project import project
from bench.results.keys import requests
from bench.results.location import Location
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import Ablation, load
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.roots import OURS, elsewhere
from bench.sweep.running import measure_static
from bench.sweep.sides import speed_metric
from bench.sweep.structure import with_structure
from bench.sweep.turns import Pair, Side

TIMED = "latency"
"""The metric whose key says whether the code of a variant differs."""


class RevisionError(RegistryError):
    """A revision that cannot be checked out or read."""


@dataclass(frozen=True)
class Checkout:
    """The files of one revision: the folder of the project in them, and the root of our packages (empty: as here)."""

    folder: str
    root: str = ""


@dataclass(frozen=True)
class Network:
    """One variant of an ablation in one revision. `code` is equal where two revisions would give the same speed.

    `static` are its deterministic measurements, failed ones too.
    """

    variant: Variant
    workload: Workload
    plugins: tuple[str, ...]
    code: str
    static: tuple[Measurement, ...] = ()

    @property
    def broken(self) -> str:
        """The first error; empty for a network that runs."""
        return next((m.error for m in self.static if m.error), "")

    @property
    def graph(self) -> str:
        """The hash of its graph, empty where it has none."""
        return next((str(m.detail or m.samples) for m in self.static if m.metric == "graph_hash" and not m.error), "")


Networks = Mapping[str, Mapping[str, Network]]
"""Ablation -> name of a variant -> network."""


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Checkout]:
    """The project as it is in a revision of its git repository, in a worktree that is removed afterwards.

    Raises RevisionError where there is no repository, or no such revision.
    """
    here = project().folder.resolve()
    top = Path(git(here, "rev-parse", "--show-toplevel"))
    commit = git(here, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", missing=revision)
    with tempfile.TemporaryDirectory(prefix="fovbench-") as folder:
        tree = Path(folder) / "tree"
        git(here, "worktree", "add", "--detach", "--quiet", str(tree), commit)
        try:
            below = tree / here.relative_to(top)
            if not below.is_dir():
                raise RevisionError(f"{revision} has no folder {here.relative_to(top)}; name a revision that has it")
            yield Checkout(str(below), _root(Path(folder), tree, top))
        finally:
            git(here, "worktree", "remove", "--force", str(tree))


def commit_of(revision: str) -> str:
    """The short name of a revision's commit. Raises RevisionError."""
    return git(project().folder.resolve(), "rev-parse", "--short", "--verify", "--quiet", revision, missing=revision)


def _root(folder: Path, tree: Path, top: Path) -> str:
    """Where the project is fovbench itself: our code of today with the architectures of the revision."""
    if PACKAGE.parent.resolve() != top or not (tree / "architectures").is_dir():
        return ""
    root = folder / "root"
    root.mkdir()
    (root / "bench").symlink_to(PACKAGE)
    for name in (*OURS[1:], "ablations", "results"):
        if (tree / name).exists():
            (root / name).symlink_to(tree / name)
    return str(root)


def git(folder: Path, *arguments: str, missing: str = "") -> str:
    """What a git command prints in a folder. Raises RevisionError; `missing` names the revision that it looks for."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RevisionError("git is not installed, and a revision is read with git") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"there is no revision '{missing}'"])[-1]
        raise RevisionError(f"git {arguments[0]}: {reason}")
    return done.stdout.strip()


def networks_of(place: Checkout, chosen: Sequence[str], plugins: Sequence[str], store: Location) -> Networks:
    """Every variant of the ablations of a checkout, measured statically; an ablation that it lacks has none.

    Raises ElsewhereError.
    """
    further = tuple(plugin for plugin in plugins if plugin not in project().plugins)
    store = store.resolve() if isinstance(store, Path) else store
    answer: Networks = elsewhere(described, place.folder, place.root, tuple(chosen), further, store)
    return answer


def here() -> Checkout:
    """The project as it lies in its folder, changes that are not committed included."""
    return Checkout(str(project().folder.resolve()))


def described(chosen: Sequence[str], plugins: Sequence[str], store: Location) -> Networks:
    """Every variant of these ablations (default: those of the project) in the code that this process has."""
    existing = all_names()
    wanted = [name for name in chosen or names() if name in existing or Path(name).suffix]
    ablations = [with_structure(load(name, (), plugins), TIMED) for name in wanted]
    with Store(store) as stored:
        measure_static(ablations, stored)
        return {ablation.name: _networks(ablation, stored) for ablation in ablations}


def _networks(ablation: Ablation, stored: Store) -> dict[str, Network]:
    static: dict[str, list[Measurement]] = {}
    rows = {r.key: r for r in requests(ablation, {}, ("static",))}
    records = {record.measurement.key: record.measurement for record in stored.records(rows)}
    for request in requests(ablation, {}, ("static",)):
        if (measurement := records.get(request.key)) and (measurement.exact or measurement.error):
            static.setdefault(request.variant.name, []).append(replace(measurement, variant=request.variant))
    timed = (request for request in requests(ablation, {}, ("speed",)) if request.metric == TIMED)
    return {
        r.variant.name: Network(r.variant, r.workload, ablation.plugins, r.key, tuple(static.get(r.variant.name, ())))
        for r in timed
    }


def pairs_of(
    networks: Iterable[tuple[str, Network, Network]], places: tuple[Checkout, Checkout], metrics: Sequence[str]
) -> Iterator[tuple[str, Metric, Pair]]:
    """(name, metric, pair) for each of (name, network before, network now) and each metric of kind speed."""
    for name, *both in networks:
        sides = [_side(each, label, at) for each, label, at in zip(both, ("before", "now"), places, strict=True)]
        for metric in [speed_metric(chosen, both[1].plugins) for chosen in metrics]:
            yield name, metric, Pair(sides[0], sides[1], metric.name)


def _side(network: Network, label: str, place: Checkout) -> Side:
    return Side(label, network.variant, network.workload, network.plugins, place.folder, place.root)
