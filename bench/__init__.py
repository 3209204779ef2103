"""fovbench: ablations of networks that are measured, stored, compared and gated.

The public Python API: `bench.load("fcn_skips")` reads what is stored, `bench.run("fcn_skips")` measures what is
missing, `bench.measure("fcn", stride=8)` measures one network. The decorators register what is new:

    from bench import architecture, metric

A module that registers a dataset uses `Examples`, `IGNORE`, `DataNotFound`, `Files` and `not_found`
(docs/datasets.md).

Importing this package imports neither torch nor pandas.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bench.data.examples import IGNORE, DataNotFound, Examples
from bench.data.locate import Files, not_found
from bench.registry import Bounds, Constraint, Fact, architecture, dataset, metric, plot, task
from bench.registry.project import project, with_project
from bench.registry.versions import __version__

if TYPE_CHECKING:
    import pandas as pd

    from bench.results.location import Location
    from bench.results.measurement import Evaluation
    from bench.results.results import Results

__all__ = [
    "IGNORE",
    "AblationResults",
    "Bounds",
    "Constraint",
    "DataNotFound",
    "Examples",
    "Fact",
    "Files",
    "GateResult",
    "__version__",
    "architecture",
    "bisect",
    "compare",
    "dataset",
    "gate",
    "gate_against",
    "load",
    "measure",
    "metric",
    "not_found",
    "plot",
    "report",
    "run",
    "table",
    "task",
]


@dataclass(frozen=True)
class AblationResults:
    """What is stored of one ablation."""

    results: Results

    @property
    def frame(self) -> pd.DataFrame:
        """Every sample, one a row; columns as in `bench.results.frame.frame_of`."""
        return self.results.frame

    @property
    def evaluations(self) -> Mapping[tuple[str, int], Evaluation]:
        """(variant, seed) -> curves, sample outputs and facts of the trained network."""
        return self.results.evaluations

    @property
    def notes(self) -> tuple[str, ...]:
        """What does not come from the local store, and what a person remarked on the run."""
        return self.results.notes

    def table(
        self,
        format: str = "pandas",
        *,
        metrics: Sequence[str] = (),
        columns: Sequence[str] = (),
        sort: str = "",
        delta: bool = True,
        best: bool = False,
    ) -> Any:
        """One row per variant: a DataFrame, or text in the format `md`, `csv`, `latex` or `json`.

        `metrics` are shown in this order, or all. `columns` are `variant`, axes, metrics, and `value`, `difference`,
        `verdict` of the metric before or of all. `sort` is a metric or an axis, `-NAME` for descending. `best` marks
        the best numbers. Raises ValueError for another format, TableError for a name that the table does not have.
        """
        from bench.report.choice import Choice
        from bench.report.table import as_frame
        from bench.report.table import table as rendered

        choice = Choice(tuple(metrics), tuple(columns), sort, delta, best)
        if format == "pandas":
            return as_frame(self.results, choice)
        return rendered(self.results, format, choice)  # type: ignore[arg-type]

    def effects(self, metric: str = "") -> pd.DataFrame:
        """The main effects and interactions of axes that are crossed, on a metric or the main one; one row for each.

        Columns as in `bench.analysis.factorial.COLUMNS`: what changes, the estimate with its confidence interval and
        verdict, or in `reason` why there is no estimate. Raises EffectsError for a metric that the table does not have,
        and where no two axes are crossed.
        """
        from bench.analysis.factorial import effects_frame

        return effects_frame(self.results, metric)

    def shapley(self, metric: str = "") -> pd.DataFrame:
        """The Shapley value of each component of a complete two-level design, on a metric or the main one.

        One row for each: axis, first, second, value, fraction of the whole difference, low, high, level, verdict.
        Raises EffectsError for a metric that the table lacks, and where not every combination of two values is there.
        """
        from bench.analysis.shapley import shapley_frame

        return shapley_frame(self.results, metric)

    def report(self, folder: str | Path | None = None) -> Path:
        """Write the HTML page to `folder/NAME/index.html`; its path. Default: the project's folder of reports.

        A figure that cannot be drawn is a row of the page.
        """
        from bench.report.render import render

        return render(self.results, folder or project().reports)


@dataclass(frozen=True)
class GateResult:
    """The checks of a gate. `exit_code`: 0 pass, 1 regression, 3 inconclusive, 4 broken or missing, 5 win."""

    checks: tuple[Any, ...]
    exit_code: int

    @property
    def frame(self) -> pd.DataFrame:
        """One row per number: variant, metric, verdict, expected, measured, error."""
        from bench.gate.expectations import Check
        from bench.results.frame import frame_with

        return frame_with([vars(check) for check in self.checks], [field.name for field in fields(Check)])


def load(
    name: str | Path,
    *,
    store: str | Location | None = None,
    data: str | Path | None = None,
    source: str | Path | None = None,
    settings: Sequence[str] = (),
    plugins: Sequence[str] = (),
) -> AblationResults:
    """What is stored of an ablation: locally, and in its committed results bundle.

    `name` is a file, a name in the project's folder `ablations/`, or that of an ablation that fovbench brings along.
    `store`, `data` and `plugins` are those of the project file, if there is one (`fovbench.toml`); `plugins` may name
    further ones. `source` names a bundle's folder that is read in place of the
    store. `settings` are overrides such as `train.steps=50`. Needs neither the dataset nor torch.
    Raises AblationError, StoreError or BundleError with a text that says what would have worked.
    """
    from bench.results.session import read_changes
    from bench.results.store import Store
    from bench.spec.ablation import load as load_ablation
    from bench.sweep.reading import read_results

    read_changes()
    ablation = load_ablation(name, settings, plugins)
    with Store(store or project().store) as stored:
        place = Path(source) if source else None
        return AblationResults(read_results(ablation, stored, _data(data), place))


def _data(data: str | Path | None) -> Path | None:
    """The folder of datasets: the one that is named, else the project's."""
    return Path(data) if data else project().data


def run(
    name: str | Path,
    *,
    store: str | Location | None = None,
    data: str | Path | None = None,
    settings: Sequence[str] = (),
    plugins: Sequence[str] = (),
    workers: int | None = None,
    budget: float | None = None,
    processes: int = 1,
) -> AblationResults:
    """Measure what is missing of an ablation, then load it. `budget` in seconds: no job starts later.

    `processes`: how many measure each speed and size of memory, so that tables know how processes differ.

    Every measurement is stored as soon as it is made. Failures are rows with an error. Raises NoEffect where an axis
    does nothing, DataNotFound where the dataset is not in `data`. A script that calls this needs a main guard, since
    measurements run in processes of their own.
    """
    from bench.results.session import read_changes
    from bench.results.store import Store
    from bench.spec.ablation import load as load_ablation
    from bench.sweep.running import Job, run_all

    read_changes()
    ablation = load_ablation(name, settings, plugins)
    with Store(store or project().store) as stored:
        job = Job([ablation], stored, _data(data), workers=workers, budget=budget, processes=processes)
        run_all(job, lambda plan: None, lambda plan: None)
    return load(name, store=store, data=data, settings=settings, plugins=plugins)


def measure(
    target: str,
    *,
    metrics: Sequence[str] = ("params", "macs", "receptive_field", "output_stride"),
    shape: Sequence[int] | None = None,
    inputs: str = "",
    batch: int = 1,
    device: str = "cpu",
    plugins: Sequence[str] = (),
    **axes: Any,
) -> pd.DataFrame:
    """Measure one network in a process of its own; one row per metric: value, unit, error, detail.

    `target` is a registered name, `timm:NAME`, `torchvision:NAME`, `smp:NAME` or `file.py:callable`; `axes` are values
    of its axes; `shape` is (C, H, W), (3, 224, 224) unless the network says another; `inputs` are several tensors in
    place of one image, as `--inputs` of the command has them. Nothing is stored. Raises RegistryError for a name, axis
    or value that does not exist.
    """
    from bench.registry import text_of
    from bench.results.frame import frame_with
    from bench.results.session import read_changes
    from bench.sweep.adhoc import measure_target

    read_changes()
    measurements = measure_target(
        target,
        [f"{name}={text_of(value)}" for name, value in axes.items()],
        metrics=metrics,
        shape=None if shape is None else tuple(shape),
        inputs=inputs,
        batches=(batch,),
        timeout=600.0,
        plugins=with_project(plugins),
        device=device,
    )
    rows = [
        {"metric": m.metric, "value": m.value, "unit": m.unit, "error": m.error, "detail": m.detail}
        for m in measurements
    ]
    return frame_with(rows, ["metric", "value", "unit", "error", "detail"]).set_index("metric")


def table(
    name: str | Path,
    format: str = "pandas",
    *,
    metrics: Sequence[str] = (),
    columns: Sequence[str] = (),
    sort: str = "",
    delta: bool = True,
    best: bool = False,
    **options: Any,
) -> Any:
    """`load(name, **options).table(format, metrics=..., columns=..., sort=..., delta=..., best=...)`."""
    results = load(name, **options)
    return results.table(format, metrics=metrics, columns=columns, sort=sort, delta=delta, best=best)


def report(name: str | Path, folder: str | Path | None = None, **options: Any) -> Path:
    """`load(name, **options).report(folder)`."""
    return load(name, **options).report(folder)


def compare(a: str | Path, b: str | Path) -> pd.DataFrame:
    """Two result sets (stores, bundles, CSV tables) side by side; one row for every number of either.

    Numbers are paired by variant, metric and the conditions they were measured under; unmatched ones are kept.
    Raises CompareError for what is no result set.
    """
    from bench.results.compare import Line, read
    from bench.results.compare import compare as compared
    from bench.results.frame import frame_with

    lines = compared(read(Path(a)), read(Path(b)))
    return frame_with([vars(line) for line in lines], [field.name for field in fields(Line)])


def gate(
    *names: str | Path,
    store: str | Location | None = None,
    settings: Sequence[str] = (),
    plugins: Sequence[str] = (),
    workers: int | None = None,
    expected: str | Path | None = None,
    claims: bool = False,
    accuracy: bool = False,
    margin: float | None = None,
) -> GateResult:
    """Check the deterministic numbers of ablations against their committed expectations.

    Without names every ablation that has expectations. What is not stored is measured (static metrics only: no data, no
    training). A network that no longer runs, and an ablation that can no longer be read since its code cannot be
    imported or an axis is gone, is `broken`. Raises NoExpectationsError for an ablation without expectations,
    AblationError for a name that does not exist.

    With `claims` a claim of the source that the stored or committed results contradict is `worse`. With `accuracy` the
    stored scores are compared with the committed seeds (`bench.gate.accuracy`), which trains nothing; `margin` None is
    that of each metric.
    """
    from bench.gate.claims import claim_checks
    from bench.gate.expectations import check, exit_code, expected_names, has_expectations
    from bench.gate.loading import loaded, stored_accuracy
    from bench.results.session import read_changes
    from bench.results.store import Store
    from bench.sweep.reading import read_results
    from bench.sweep.running import measure_static
    from bench.sweep.structure import with_structure

    read_changes()
    folder = Path(expected) if expected else None
    ablations, checks = loaded(names, expected_names(folder) if not names else (), settings, plugins)
    with Store(store or project().store) as stored:
        plans = measure_static([with_structure(ablation) for ablation in ablations], stored, workers)
        for ablation, plan in zip(ablations, plans, strict=True):
            reader = partial(read_results, ablation, stored, None)
            if not accuracy or has_expectations(ablation, folder):
                checks += check(ablation, plan.requests, stored, folder)
            checks += claim_checks(read_results(ablation, stored)) if claims else []
            checks += stored_accuracy(ablation, reader, margin) if accuracy else []
    return GateResult(tuple(checks), exit_code(checks))


def gate_against(
    revision: str,
    *names: str | Path,
    store: str | Location | None = None,
    plugins: Sequence[str] = (),
    metrics: Sequence[str] = ("latency", "memory"),
    budget: float = 60.0,
    tolerance: float = 0.03,
    settings: Sequence[str] = (),
    notify: Callable[[Any], None] = lambda _: None,
) -> Any:
    """Compare the working tree with a revision of its git repository: a `bench.gate.against.Against`.

    Static metrics of every variant of the ablations (default: those of the project) are compared exactly. Variants
    whose code differs are timed against the revision, both sides in turns, by `metrics` of kind speed, until the
    interval of the ratio decides at `tolerance`, or `budget` seconds are over; `notify` is called after each round.
    `settings` are overrides such as `workload.batch=4`, in both. Raises RevisionError where there is no such revision,
    AblationError for a name that is in neither, and without names where neither has an ablation.
    """
    from bench.gate.against import Against, by_code, checks_of, for_each, matched, to_time, untimed
    from bench.gate.paired import compared, task_of
    from bench.results.location import location_of
    from bench.results.session import read_changes
    from bench.stats.paired import Rule
    from bench.sweep.revision import below_project, networks_of, pairs_of, refuse_other_metrics, refuse_unknown
    from bench.sweep.worktrees import checkout, commit_of, here

    read_changes()
    refuse_other_metrics(metrics, plugins)
    place, chosen = location_of(store or project().store), tuple(below_project(name) for name in names)
    with checkout(revision) as old:
        before, after = (networks_of(tree, chosen, plugins, place, settings) for tree in (old, here()))
        refuse_unknown(chosen, {*before, *after}, revision)
        matches = matched(before, after)
        checks = [check for match in matches for check in checks_of(match, before, after)]
        differing, same = to_time(matches, before, after)
        groups = by_code(differing, before, after)
        sides = [(m.name, before[m.ablation][m.before or ""], after[m.ablation][m.after or ""]) for m, *_ in groups]
        pairs = pairs_of(sides, (old, here()), metrics, budget)
        tasks = [task_of(name, metric, pair.groups()) for name, metric, pair in pairs]
        comparisons = for_each(compared(tasks, Rule(tolerance=tolerance), budget, notify), groups)
    skipped = tuple(untimed(matches, before, after))
    return Against(commit_of(revision), tuple(checks), tuple(comparisons), same, skipped)


def bisect(
    good: str,
    bad: str,
    target: str,
    *,
    metric: str = "latency",
    store: str | Location | None = None,
    plugins: Sequence[str] = (),
    budget: float = 600.0,
    tolerance: float = 0.03,
    notify: Callable[[Any], None] = lambda _: None,
    **workload: Any,
) -> Any:
    """Find the first commit after `good`, up to `bad`, with the change of a metric: a `bench.gate.bisection.Bisection`.

    `target` names a network, a variant of an ablation, or an ablation, of which the variant is followed that changed
    most. Static metrics are compared by value; those of kind speed are timed against `good` at `tolerance`, for
    `budget` seconds in all. `workload` are stated fields of it: shape, batch, device, ... `notify` is called with the
    change from `good` to `bad`, then with every step. Raises RevisionError where `good` is no ancestor of `bad`,
    RegistryError for a target or a metric that does not exist.
    """
    from bench.gate.bisection import How, Search
    from bench.results.location import location_of
    from bench.results.session import read_changes
    from bench.stats.paired import Rule
    from bench.sweep.commits import between, commit_at
    from bench.sweep.probing import Probe, Question, metric_of

    read_changes()
    stated = {name: value for name, value in workload.items() if value is not None}
    question = Question(target, metric, tuple(plugins), stated)
    commits = [commit.name for commit in between(good, bad)]
    how = How(metric_of(metric, question.plugins), Rule(tolerance=tolerance), budget)
    probe = Probe(question, location_of(store or project().store))
    return Search(commit_at(good).name, commits, probe, how, notify).run()


class _Package(ModuleType):
    """This package; its functions `report` and `gate` stay callable once the packages of that name are loaded."""

    def __setattr__(self, name: str, value: Any) -> None:
        function = _SHADOWED.get(name)
        if function is not None and isinstance(value, ModuleType):
            value.__class__ = _callable_module(function)
        super().__setattr__(name, value)


def _callable_module(function: Callable[..., Any]) -> type[ModuleType]:
    def call(self: ModuleType, *args: Any, **options: Any) -> Any:
        return function(*args, **options)

    members = {"__call__": call, "__doc__": function.__doc__}
    return type("CallableModule", (ModuleType,), members)


_SHADOWED: dict[str, Callable[..., Any]] = {"report": report, "gate": gate}
sys.modules[__name__].__class__ = _Package
