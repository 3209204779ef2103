"""What `bench bisect` asks of commits: the networks that a text names there, and timings of two commits in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.registry import Metric, RegistryError
from bench.registry.builtin import all_names
from bench.registry.catalogue import declarations
from bench.registry.project import with_project
from bench.results.keys import Request, requests
from bench.results.location import Location, resolved
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.results.turns import Group
from bench.spec.ablation import load
from bench.sweep.adhoc import ablation_of
from bench.sweep.revision import SLACK, Network, further_plugins, within_limit
from bench.sweep.roots import LIMIT, ElsewhereError, elsewhere
from bench.sweep.running import measure_static
from bench.sweep.sides import OF_ABLATION, side_of
from bench.sweep.turns import Pair, Side
from bench.sweep.worktrees import RevisionError, checkout

YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Question:
    """The networks that `text` names, as in `bench.sweep.sides`, or all variants of an ablation, and the metric.

    `how` are fields of the workload that are stated.
    """

    text: str
    metric: str
    plugins: tuple[str, ...] = ()
    how: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """Asks the question of commits of the project's repository. `store` keeps static measurements; `limit` is the time
    in seconds after which a process that gives no answer hangs."""

    question: Question
    store: Location
    limit: float = LIMIT

    def networks(self, commit: str) -> dict[str, Network]:
        """Name of a variant -> network, in a commit. Raises RevisionError with why the commit has none."""
        there = replace(self.question, plugins=further_plugins(self.question.plugins))
        with checkout(commit) as place:
            try:
                answer: dict[str, Network] = elsewhere(
                    asked, place.folder, place.root, there, resolved(self.store), limit=self.limit + SLACK
                )
            except ElsewhereError as error:
                raise RevisionError(str(error)) from None
            return {name: _movable(network, Path(place.folder)) for name, network in answer.items()}

    def groups(self, before: tuple[str, Network], after: tuple[str, Network]) -> Iterator[Group]:
        """Groups without end of (commit, network) against another. Raises SideError for a side that does not run."""
        with checkout(before[0]) as old, checkout(after[0]) as new:
            sides = [
                Side(commit[:10], network.variant, network.workload, network.plugins, place.folder, place.root)
                for (commit, network), place in ((before, old), (after, new))
            ]
            yield from Pair(sides[0], sides[1], self.question.metric, self.limit).groups()


def _movable(network: Network, folder: Path) -> Network:
    """With its plug-ins relative to the folder of its project: another checkout of the commit has another folder."""
    plugins = (Path(plugin) for plugin in network.plugins)
    moved = tuple(str(each.relative_to(folder) if each.is_relative_to(folder) else each) for each in plugins)
    return replace(network, plugins=moved)


def metric_of(name: str, plugins: tuple[str, ...]) -> Metric:
    """The metric of a name. Raises RegistryError for one that needs training."""
    metric = declarations(plugins).metrics.get(name)
    if metric.kind == "accuracy":
        raise RegistryError(f"'{name}' needs training; bisect takes metrics of the network: macs, latency, memory")
    return metric


def asked(question: Question, store: Location, alive: Callable[[], None]) -> dict[str, Network]:
    """The networks of a question in the code that this process has."""
    question = replace(question, plugins=with_project(question.plugins))
    metric = declarations(question.plugins).metrics.get(question.metric)
    sides = _sides(question)
    ablations = [within_limit(ablation_of(s.variant, s.workload, (metric,), s.plugins)) for s in sides]
    with Store(store) as stored:
        if metric.kind == "static":
            measure_static(ablations, stored, notify=lambda _: alive())
        rows = [next(requests(each, {}, ("static", "speed"))) for each in ablations]
        records = {record.measurement.key: record.measurement for record in stored.records(row.key for row in rows)}
    networks = (_network(row, side.plugins, records) for row, side in zip(rows, sides, strict=True))
    return {network.variant.name: network for network in networks}


def _network(row: Request, plugins: tuple[str, ...], records: Mapping[str, Measurement]) -> Network:
    measured = [records[row.key]] if row.kind == "static" and row.key in records else []
    static = tuple(replace(measurement, variant=row.variant) for measurement in measured)
    return Network(row.variant, row.workload, plugins, row.key, static)


def _sides(question: Question) -> Sequence[Side]:
    """Every network that the text names. Raises RegistryError for a text that names none."""
    text = question.text
    if OF_ABLATION.fullmatch(text) or not (text in all_names() or Path(text).suffix in YAML):
        return [side_of(text, "", question.how, question.plugins)]
    ablation = load(text, (), question.plugins)
    return [
        Side("", variant, replace(ablation.workload_of(variant), **question.how), ablation.plugins)
        for variant in ablation.variants
    ]
