"""The details of a page: side effects, failures, gaps, metrics, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.side_effects import SideEffect, side_effects
from bench.analysis.summary import Summary
from bench.display.figure import names
from bench.display.numbers import ARROWS
from bench.display.wording import EMPTY
from bench.registry import text_of
from bench.results.results import Results


@dataclass(frozen=True)
class Definition:
    """What a metric means, and the command that measures it again."""

    metric: str
    unit: str
    better: str
    kind: str
    doc: str
    command: str


@dataclass(frozen=True)
class Gap:
    """What was not measured: the seeds of a variant and metric as text, and how many measurements that is."""

    variant: str
    metric: str
    seeds: str
    count: int


def side_effect_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """A row of the side effects for each variant."""
    yield from (_side_effect(each, names(results)) for each in side_effects(results.signatures, results.baseline))


def aggregates(summary: Summary) -> Iterator[Aggregate]:
    """Every aggregate, variant by variant, in the order of the columns."""
    for variant in summary.results.variants:
        for column in summary.columns:
            if (variant, column.metric) in summary.aggregates:
                yield summary.aggregates[variant, column.metric]


def completeness(summary: Summary) -> str:
    """How many of the requested measurements there are."""
    every = [*aggregates(summary)]
    done = sum(len(aggregate.answered) for aggregate in every)
    failed = sum(len(aggregate.errors) for aggregate in every)
    absent = sum(len(aggregate.missing) for aggregate in every)
    excluded = len(summary.results.excluded)
    reason = f"; {excluded} variant{'' if excluded == 1 else 's'} excluded with a reason" if excluded else ""
    return f"{done} of {done + failed + absent} measurements done, {failed} failed, {absent} not measured{reason}."


def missing(summary: Summary) -> Iterator[Gap]:
    """What was requested and not measured."""
    for each in aggregates(summary):
        if each.missing:
            yield Gap(each.variant, each.metric, _seeds(each.missing), len(each.missing))


def definitions(summary: Summary) -> Iterator[Definition]:
    """Every metric of the table."""
    yield from (_definition(summary, column) for column in summary.columns)


def _side_effect(effect: SideEffect, short: Mapping[str, str]) -> tuple[str, ...]:
    """A row of the side effects: variant, parameters, MACs, receptive field, note."""
    if effect.note:
        return short[effect.variant], EMPTY, EMPTY, EMPTY, effect.note
    size = "global" if effect.receptive_field is None else f"{text_of(effect.receptive_field)} px"
    sizes = (_with_change(effect.params, effect.params_change), _with_change(round(effect.macs), effect.macs_change))
    return short[effect.variant], *sizes, size, ""


def _with_change(value: int, change: float | None) -> str:
    return f"{value:,}" + (f" ({change:+.2%})" if change else "")


def failures(summary: Summary) -> Iterator[tuple[str, str, str, str, str]]:
    """Variant, metric, seed, error and traceback of each failed measurement."""
    tracebacks = {(f.variant, f.metric, f.seed): f.traceback for f in summary.results.failures}
    for aggregate in aggregates(summary):
        variant, metric = aggregate.variant, aggregate.metric
        for seed, message in aggregate.errors:
            yield variant, metric, _seeds([seed]), message, tracebacks.get((variant, metric, seed), "")


def _seeds(seeds: Sequence[int | None]) -> str:
    return ", ".join(EMPTY if seed is None else str(seed) for seed in seeds)


def command(results: Results) -> str:
    """What was run; the plain form where that was not recorded."""
    return str(results.provenance.get("command") or f"bench run {results.provenance.get('file', results.name)}")


def _definition(summary: Summary, column: Column) -> Definition:
    arrow = f"{column.better} {ARROWS[column.better]}" if column.better else "neither"
    again = f"{command(summary.results)} --only {column.metric} --force"
    return Definition(column.metric, column.unit or EMPTY, arrow, column.kind or EMPTY, column.doc or EMPTY, again)


def provenance(results: Results) -> Iterator[tuple[str, str]]:
    """Where the numbers come from, as (name, value), nested names joined by a dot."""
    for name in ("command", "file", "seeds", "workload", "dataset", "recipe", "environment"):
        if name in results.provenance:
            yield from _flat(name, results.provenance[name])
    for name in ("task", "dataset", "device", "dtype", "mode"):
        values = sorted({str(value) for value in results.frame[name].dropna()})
        if values:
            yield f"measured.{name}", ", ".join(values)
    created = sorted(results.frame["created"].dropna())
    if created:
        yield "measured.between", f"{created[0]} and {created[-1]}"


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(f"{name}.{key}", value[key])
    else:
        yield name, text_of(value)
