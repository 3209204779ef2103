"""A contrast: a weighted sum of aggregates of one metric, with an interval from every noise that was sampled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.analysis.aggregate import Aggregate
from bench.stats.descriptive import deviation, mean
from bench.stats.inference import (
    LEVEL,
    Estimate,
    Exact,
    Interval,
    Ratio,
    Student,
    block_correlation,
    bootstrap_of_mean,
    common_correlation,
    effective_images,
    effective_number,
    evaluation_source,
    has_width,
    sum_of_blocks,
    widening,
)
from bench.stats.moderation import Spread, Spreads, moderated, pooled, source_of_means

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

Contributions = Mapping[tuple[str, str, int], Any]
"""(variant, metric, seed) -> an array of what each block of images contributes to that score."""

ONE_PROCESS = "one process for each variant; how processes differ was not measured, so that this holds for these alone"


class ContrastError(ValueError):
    """Aggregates without the numbers that a contrast needs; the text says which and why."""


@dataclass(frozen=True)
class Noise:
    """What is known of the noise of all aggregates of a table.

    `spreads` are the variances of each metric's variants, which borrow strength from one another: over seeds, or of the
    logarithms of samples of speed. `contributions`: what each block of images contributes to a score.
    `correlations` of neighbouring blocks that the differences of a metric have in common.
    `graphs`: the hash of each variant's graph, where it is known; variants of one graph are equally fast.
    `processes`: how processes that measured one network differ, by metric, where any network was measured in several.
    `samples`: the spread of the samples of a process, as the mean over all processes of the run. Both of logarithms.
    """

    spreads: Mapping[str, Spreads[str]] = field(default_factory=dict)
    contributions: Contributions = field(default_factory=dict)
    graphs: Mapping[str, str] = field(default_factory=dict)
    correlations: Mapping[str, float] = field(default_factory=dict)
    processes: Mapping[str, Spread] = field(default_factory=dict)
    samples: Spread | None = None

    def one_graph(self, variants: Iterable[str]) -> bool:
        """Whether all of them are known to have the same graph."""
        graphs = {self.graphs.get(variant, "") for variant in variants}
        return len(graphs) == 1 and graphs != {""}

    def of(self, metric: str, aggregates: Iterable[Aggregate]) -> Spreads[str]:
        """The spreads of a metric; of `aggregates` alone where the table has none."""
        spreads = self.spreads.get(metric)
        return spreads_of(aggregates) if spreads is None else spreads

    def of_process(self, aggregate: Aggregate) -> Spread | None:
        """The spread of the logarithm of what a process measures; `count` is how many did. None where nothing varies.

        Of a variant that one process measured, it is the largest of what processes differ by, where that is known, the
        spread of its own samples, and that of all processes of the run: none is as quiet as equal samples look.
        """
        count, between = len(aggregate.processes), self.processes.get(aggregate.metric)
        if between is not None and count > 1:
            return replace(between, count=count) if between.variance else None
        silent = self.samples is not None and self.samples.variance == 0
        own = None if silent else self.of(aggregate.metric, [aggregate]).groups.get(aggregate.variant)
        known = [each for each in (between, own, self.samples) if each is not None and each.variance > 0]
        return replace(max(known, key=lambda each: each.variance), count=1) if known else None


def noise_of(aggregates: Iterable[Aggregate], contributions: Contributions, graphs: Mapping[str, str]) -> Noise:
    """The noise of a table, from all of its aggregates, and the hash of each variant's graph."""
    aggregates = tuple(aggregates)
    metrics: dict[str, list[Aggregate]] = {}
    for aggregate in aggregates:
        if aggregate.seeded or _in_logs(aggregate):
            metrics.setdefault(aggregate.metric, []).append(aggregate)
    spreads = {metric: spreads_of(each) for metric, each in metrics.items()}
    correlations = {metric: _correlation(each, contributions) for metric, each in metrics.items()}
    alike = {m: each for m, each in correlations.items() if each is not None}
    timed = [each for each in aggregates if _in_logs(each) and not each.shares_timing]
    return Noise(spreads, contributions, graphs, alike, _between_processes(timed, graphs), _of_samples(timed))


def _between_processes(timed: Iterable[Aggregate], graphs: Mapping[str, str]) -> dict[str, Spread]:
    """How processes that measured the same network differ, by metric, from variants that were measured in several, and
    from variants of one graph. Metrics without either are left out."""
    groups: dict[str, dict[str, list[float]]] = {}
    for each in timed:
        network = graphs.get(each.variant) or each.variant
        groups.setdefault(each.metric, {}).setdefault(network, []).extend(map(math.log, each.processes))
    spreads = {metric: pooled(networks.values()) for metric, networks in groups.items()}
    return {metric: spread for metric, spread in spreads.items() if spread is not None}


def _of_samples(timed: Iterable[Aggregate]) -> Spread | None:
    """The mean variance of the samples of a process, over all processes and metrics; each process counts once."""
    own = [(spread**2, len(each.samples) - 1) for each in timed if (spread := deviation(_values(each))) is not None]
    if not own:
        return None
    variance = mean([each for each, _ in own])
    return Spread(variance, sum(freedom for _, freedom in own), 1, variance, True)


def _correlation(aggregates: Sequence[Aggregate], contributions: Contributions) -> float | None:
    """What neighbouring blocks of a metric correlate by, from the variants whose contributions are known."""
    import numpy as np

    terms = [image_blocks([(1.0, each)], contributions) for each in aggregates if each.seeded]
    series = [blocks[0][1].mean(axis=0) for blocks in terms if blocks is not None]
    return common_correlation(np.array(series)) if len({len(each) for each in series}) == 1 else None


def spreads_of(aggregates: Iterable[Aggregate]) -> Spreads[str]:
    """The spread of each variant, by name: over seeds, without failed ones, or of the logarithms of its samples."""
    return moderated({each.variant: _values(each) for each in aggregates})


def _values(aggregate: Aggregate) -> list[float]:
    if aggregate.seeded:
        return list(aggregate.seeded.values())
    return [math.log(value) for _, value in aggregate.samples] if _in_logs(aggregate) else []


def _in_logs(aggregate: Aggregate) -> bool:
    """Whether it is a speed or a size of memory: samples that are positive, and noisy in proportion."""
    samples = [value for _, value in aggregate.samples]
    return bool(samples) and not aggregate.exact and not aggregate.seeded and min(samples) > 0


@dataclass(frozen=True)
class Contrast:
    """An estimate, and in words what its interval is made of.

    `seeds` is the smallest number of seeds of any variant, 0 without seeds. `identical`: every seed, or every sample,
    gave the same number on both sides, so that nothing at all differs. `blocks` (blocks,) is what each block of images
    contributes to the estimate; where neighbours are alike, the deviations from the mean are widened.
    """

    estimate: Estimate
    basis: str
    seeds: int = 0
    identical: bool = False
    blocks: Floats | None = None

    @property
    def exact(self) -> bool:
        return isinstance(self.estimate, Exact)

    def interval(self, level: float = LEVEL) -> Interval | None:
        """The confidence interval; None for exact numbers, and where it has no width."""
        interval = None if self.exact else self.estimate.interval(level)
        return interval if interval is not None and has_width(interval) else None

    def training(self, level: float = LEVEL) -> Interval | None:
        """The interval from the noise of seeds alone; None without seeds."""
        if not isinstance(self.estimate, Student) or not self.seeds:
            return None
        return Student(self.estimate.value, self.estimate.sources[:1]).interval(level)

    def evaluation(self, level: float = LEVEL) -> Interval | None:
        """The interval from the noise of evaluation alone, for these trained networks; None where it is not known.

        A paired bootstrap: every network is judged on the same draw of images.
        """
        if self.blocks is None:
            return None
        return bootstrap_of_mean(self.blocks - self.blocks.mean() + self.estimate.value, level)


Terms = Sequence[tuple[float, Aggregate]]
"""(weight, aggregate)."""


def contrast(terms: Terms, constant: float, noise: Noise) -> Contrast:
    """`constant` plus each aggregate's value times its weight; all aggregates of one metric.

    The variance of seeds is that of each variant (`stats.moderation`), so that the numbers of seeds may differ; blocks
    of images are paired. Raises ContrastError where an aggregate is missing, failed or has no number, or where the
    times are of different clocks.
    """
    for _, aggregate in terms:
        _check(aggregate)
    _check_clocks([aggregate for _, aggregate in terms])
    if not terms:
        return Contrast(Exact(constant), "exact")
    if any(aggregate.seeded for _, aggregate in terms):
        return _seeded(_merged(terms), constant, noise)
    if all(aggregate.exact for _, aggregate in terms):
        total = math.fsum([constant, *(weight * (aggregate.value or 0.0) for weight, aggregate in terms)])
        return Contrast(Exact(total), "exact")
    return _timed(_merged(terms), constant, noise)


def _timed(terms: Terms, constant: float, noise: Noise) -> Contrast:
    """Of speeds and sizes of memory, which processes measure: no number of samples of one process makes it certain.

    Its noise is relative, and that of a product or ratio exact; of other sums it is that of small deviations.
    """
    basis, spreads = _process_text(terms, noise), [noise.of_process(each) for _, each in terms]
    sides = _sides(terms, constant)
    if sides is not None and all(_in_logs(aggregate) for _, aggregate in terms):
        source = source_of_means([(1.0, spread) for spread in spreads])
        same = len(terms) == 2 and sorted(terms[0][1].samples) == sorted(terms[1][1].samples) and sides[0] == sides[1]
        return Contrast(Ratio(*sides, (source,)), basis, identical=same)
    value = constant + math.fsum(weight * (aggregate.value or 0.0) for weight, aggregate in terms)
    absolute = [(weight * (each.value or 0.0), spread) for (weight, each), spread in zip(terms, spreads, strict=True)]
    return Contrast(Student(value, (source_of_means(absolute),)), basis)


def _process_text(terms: Terms, noise: Noise) -> str:
    """`12 samples`, and of how many processes; how much processes differ, or that it was not measured."""
    samples = "/".join(dict.fromkeys(str(len(each.samples)) for _, each in terms))
    between = noise.processes.get(terms[0][1].metric)
    if between is None:
        return f"{samples} samples; {ONE_PROCESS}"
    counts = "/".join(dict.fromkeys(str(len(each.processes)) for _, each in terms))
    processes = "one process" if counts == "1" else f"{counts} processes"
    return f"{samples} samples; {processes} for each variant; processes of one network differ by {percent(between)}"


def percent(spread: Spread) -> str:
    """The standard deviation of a logarithm in words, as a part of the number: `4.1 %`."""
    return f"{100 * math.expm1(spread.variance**0.5):.2g} %"


def _sides(terms: Terms, constant: float) -> tuple[float, float] | None:
    """The two positive numbers whose difference the sum is; None where it has other parts."""
    parts = [weight * (aggregate.value or 0.0) for weight, aggregate in terms] + [constant] * (constant != 0)
    left, right = [part for part in parts if part > 0], [-part for part in parts if part < 0]
    return (left[0], right[0]) if len(left) == len(right) == 1 else None


def _merged(terms: Terms) -> Terms:
    """One term for each variant, since twice the same number is not two independent ones."""
    aggregates = {aggregate.variant: aggregate for _, aggregate in terms}
    weights = {name: math.fsum(w for w, each in terms if each.variant == name) for name in aggregates}
    return [(weights[name], aggregate) for name, aggregate in aggregates.items()]


def _check(aggregate: Aggregate) -> None:
    name = f"{aggregate.metric} of {aggregate.variant}"
    if aggregate.errors:
        seed, message = aggregate.errors[0]
        raise ContrastError(f"{name}{_of(seed)} failed: {message.splitlines()[0].removeprefix('failed: ')}")
    if aggregate.missing:
        raise ContrastError(f"{name} is not measured{_of(aggregate.missing[0])}")
    if aggregate.value is None:
        raise ContrastError(f"{name} is {aggregate.words or 'not measured'}")


def _check_clocks(aggregates: Sequence[Aggregate]) -> None:
    for other in aggregates[1:]:
        first = aggregates[0]
        if other.clock != first.clock:
            clocks = f"{first.clock or 'not recorded'} and {other.clock or 'not recorded'}"
            raise ContrastError(f"{first.metric} of {first.variant} and {other.variant}: other clocks ({clocks})")


def _of(seed: int | None) -> str:
    return "" if seed is None else f" (seed {seed})"


def _seeded(terms: Terms, constant: float, noise: Noise) -> Contrast:
    value = constant + math.fsum(weight * (aggregate.value or 0.0) for weight, aggregate in terms)
    spreads = noise.of(terms[0][1].metric, [aggregate for _, aggregate in terms])
    training = source_of_means([(weight, spreads.groups.get(each.variant)) for weight, each in terms])
    seeds, basis = min(len(aggregate.seeded) for _, aggregate in terms), _seeds_text(terms)
    same = seeds > 1 and constant == 0 and _cancel(terms)
    blocks = image_blocks(terms, noise.contributions)
    if blocks is None:
        return Contrast(Student(value, (training,)), basis, seeds, same)
    total = sum_of_blocks(blocks)
    alike = block_correlation(total, noise.correlations.get(terms[0][1].metric) if _balanced(terms) else None)
    widened = total.mean() + math.sqrt(widening(alike, len(total))) * (total - total.mean())
    basis = f"{basis} and {_blocks_text(alike, len(total), _image_count(terms))}"
    return Contrast(Student(value, (training, evaluation_source(blocks, alike))), basis, seeds, same, widened)


def _balanced(terms: Terms) -> bool:
    """Whether it is a difference: what the variants have in common cancels."""
    return abs(math.fsum(weight for weight, _ in terms)) < 1e-9


def _image_count(terms: Terms) -> int | None:
    """How many images all of the networks were judged on; None where it is not recorded, or not the same."""
    counts = {detail.get("evaluated_images") for _, aggregate in terms for detail in aggregate.details}
    count = counts.pop() if len(counts) == 1 else None
    return count if isinstance(count, int) else None


def _blocks_text(correlation: float, blocks: int, images: int | None) -> str:
    """`10 blocks of images`, and how many independent ones would be as good where neighbours are alike."""
    text = f"{blocks} blocks of images" if images is None else f"{images} images in {blocks} blocks"
    if correlation == 0:
        return text
    effective = f"{effective_number(correlation, blocks):.2g} blocks"
    single = "" if images is None else f" or {effective_images(correlation, images, blocks):.2g} images"
    return f"{text} (effective number: {effective}{single}, since neighbouring blocks correlate by {correlation:.2f})"


def _cancel(terms: Terms) -> bool:
    """Whether the weighted sum of every seed is exactly 0."""
    seeds = {tuple(sorted(aggregate.seeded)) for _, aggregate in terms}
    if len(seeds) != 1:
        return False
    return all(math.fsum(weight * each.seeded[seed] for weight, each in terms) == 0 for seed in seeds.pop())


def _seeds_text(terms: Terms) -> str:
    """`3 seeds`, `3 to 5 seeds`, or that there is one seed."""
    counts = [len(aggregate.seeded) for _, aggregate in terms]
    if min(counts) == 1:
        return "one seed, which has no spread"
    return f"{min(counts)} seeds" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)} seeds"


def image_blocks(terms: Terms, contributions: Contributions) -> list[tuple[float, Floats]] | None:
    """(weight, (seeds, blocks)) of each aggregate; None where any part is not known."""
    import numpy as np

    keys = [[(aggregate.variant, aggregate.metric, seed) for seed in aggregate.seeded] for _, aggregate in terms]
    arrays = [[contributions.get(key) for key in row] for row in keys]
    lengths = {None if array is None else len(array) for row in arrays for array in row}
    if len(lengths) != 1 or None in lengths:
        return None
    return [(weight, np.array(row, dtype=float)) for (weight, _), row in zip(terms, arrays, strict=True)]
