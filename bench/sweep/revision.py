"""Two revisions of a project: what each has, what differs between them, and pairs of what is to be timed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.registry import Metric, RegistryError
from bench.registry.builtin import all_names, own_names
from bench.registry.catalogue import CatalogueError
from bench.registry.project import project
from bench.results.keys import requests
from bench.results.location import Location, resolved
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.results.turns import WHOLE
from bench.results.unreadable import settled
from bench.spec.ablation import Ablation, AblationError, find, load
from bench.spec.characters import printable
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.spec.yamlfile import FileError
from bench.sweep.roots import LIMIT, elsewhere
from bench.sweep.running import measure_static
from bench.sweep.sides import speed_metric
from bench.sweep.structure import with_structure
from bench.sweep.turns import Pair, Side
from bench.sweep.worktrees import Checkout

TIMED = "latency"
"""The metric whose key says whether the code of a variant differs."""


@dataclass(frozen=True)
class Network:
    """One variant of an ablation in one revision. `code` is equal where two revisions would give the same speed.

    `static` are its deterministic measurements, failed ones too; of a network that runs, and whose structure cannot be
    read, `NOT_MEASURED`.
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
        hashes = (str(m.detail or m.samples) for m in self.static if m.metric == "graph_hash" and m.samples)
        return next(hashes, "")


@dataclass(frozen=True)
class Unread:
    """In place of all variants of an ablation that cannot be read: since an axis is gone, or a plug-in is no Python."""

    broken: str
    code: str = ""
    static: tuple[Measurement, ...] = ()
    graph: str = ""


Networks = Mapping[str, Mapping[str, Network | Unread]]
"""Ablation -> name of a variant -> network."""


def networks_of(
    place: Checkout, chosen: Sequence[str], plugins: Sequence[str], store: Location, settings: Sequence[str] = ()
) -> Networks:
    """Every variant of the ablations of a checkout, measured statically; an ablation that it lacks has none.

    Raises ElsewhereError.
    """
    arguments = (tuple(chosen), further_plugins(plugins), resolved(store), tuple(settings))
    answer: Networks = elsewhere(described, place.folder, place.root, *arguments, limit=LIMIT + SLACK)
    return answer


def below_project(name: str | Path) -> str:
    """An ablation as a process of either revision finds it: a file of the project relative to the project's folder."""
    file = Path(name).resolve()
    if not file.is_file():
        return str(name)
    folder = project().folder.resolve()
    return str(file.relative_to(folder) if file.is_relative_to(folder) else file)


def refuse_unknown(chosen: Sequence[str], known: Collection[str], revision: str) -> None:
    """Raises AblationError for a name that neither revision has, and without names where neither has an ablation."""
    for name in chosen:
        if Path(name).stem not in known:
            find(name)
    if not chosen and not known:
        raise AblationError(
            f"neither {revision} nor the working tree has a file ablations/NAME.yaml; "
            "name the ablations to compare: bench list"
        )


def refuse_other_metrics(metrics: Sequence[str], plugins: Sequence[str]) -> None:
    """Raises RegistryError for a metric that is not of speed, also where nothing is to be timed.

    Where a plug-in cannot be read now, this is the outcome, and nothing is said here.
    """
    with contextlib.suppress(CatalogueError):
        for name in metrics:
            speed_metric(name, tuple(plugins))


def further_plugins(plugins: Sequence[str]) -> tuple[str, ...]:
    """Those for a process in another folder, whose own project has the plug-ins of the project file."""
    return tuple(plugin for plugin in plugins if plugin not in project().plugins)


SLACK = 60.0
"""Seconds that a measurement which runs out of time is given to say so."""


def described(
    chosen: Sequence[str], plugins: Sequence[str], store: Location, settings: Sequence[str], alive: Callable[[], None]
) -> Networks:
    """Every variant of these ablations (default: those of the project) in the code that this process has."""
    existing = all_names()
    wanted = [name for name in chosen or own_names() if name in existing or Path(name).is_file()]
    ablations = {name: _read(name, settings, plugins) for name in wanted}
    unread: Networks = {Path(n).stem: {WHOLE: each} for n, each in ablations.items() if isinstance(each, Unread)}
    read = [each for each in ablations.values() if isinstance(each, Ablation)]
    with Store(store) as stored:
        measure_static(read, stored, notify=lambda _: alive())
        return {**unread, **{ablation.name: _networks(ablation, stored) for ablation in read}}


def _read(name: str, settings: Sequence[str], plugins: Sequence[str]) -> Ablation | Unread:
    try:
        return within_limit(with_structure(load(name, settings, plugins), TIMED))
    except (FileError, RegistryError) as error:
        return Unread(printable(str(error)))


def within_limit(ablation: Ablation) -> Ablation:
    """With no longer time for a measurement than LIMIT."""
    return replace(ablation, timeout=min(ablation.timeout, LIMIT))


def _networks(ablation: Ablation, stored: Store) -> dict[str, Network]:
    static: dict[str, list[Measurement]] = {}
    rows = {r.key: r for r in requests(ablation, {}, ("static",))}
    records = {record.measurement.key: record.measurement for record in stored.records(rows)}
    for request in requests(ablation, {}, ("static",)):
        if (measurement := records.get(request.key)) and (measurement.exact or measurement.error):
            static.setdefault(request.variant.name, []).append(replace(measurement, variant=request.variant))
    timed = (request for request in requests(ablation, {}, ("speed",)) if request.metric == TIMED)
    return {
        r.variant.name: Network(
            r.variant, r.workload, ablation.plugins, r.key, tuple(settled(static.get(r.variant.name, ())))
        )
        for r in timed
    }


def pairs_of(
    networks: Iterable[tuple[str, Network | Unread, Network | Unread]],
    places: tuple[Checkout, Checkout],
    metrics: Sequence[str],
    budget: float = 0.0,
) -> Iterator[tuple[str, Metric, Pair]]:
    """(name, metric, pair) for each of (name, network before, network now) and each metric of kind speed.

    A side that gives no answer for LIMIT, or for `budget` seconds if that is longer, hangs.
    """
    for name, *each_side in networks:
        both = [network for network in each_side if isinstance(network, Network)]
        sides = [_side(each, label, at) for each, label, at in zip(both, ("before", "now"), places, strict=True)]
        for metric in [speed_metric(chosen, both[1].plugins) for chosen in metrics]:
            yield name, metric, Pair(sides[0], sides[1], metric.name, max(LIMIT, budget))


def _side(network: Network, label: str, place: Checkout) -> Side:
    return Side(label, network.variant, network.workload, network.plugins, place.folder, place.root)
