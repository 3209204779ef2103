"""From which batch on a device is saturated, of networks that are timed at several batches, and which batch fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.analysis.summary import Summary

BATCH, SHAPE = "workload.batch", "workload.shape"
NEAR = 0.95
"""A device counts as saturated from this fraction of its best throughput on."""
FEWEST = 3
"""Batches that show where a throughput stops rising."""


@dataclass(frozen=True)
class Saturation:
    """Images per second by batch, the smallest batch first, and what else the variants have in common.

    `disturbed` are the batches whose timing was: nothing follows from their rates.
    """

    common: tuple[tuple[str, str], ...]
    rates: tuple[tuple[int, float], ...]
    disturbed: tuple[int, ...] = ()

    @property
    def best(self) -> tuple[int, float]:
        """(batch, images per second) of the best throughput."""
        return max(self.rates, key=lambda pair: pair[1])

    @property
    def batch(self) -> int:
        """The smallest batch whose throughput is within 5 % of the best."""
        return next(batch for batch, rate in self.rates if rate >= NEAR * self.best[1])

    @property
    def rises(self) -> bool:
        """Whether the largest batch is the first one that is near the best: then larger ones may be faster still."""
        return self.batch == self.rates[-1][0]


def saturations(summary: Summary) -> list[Saturation]:
    """One for each network and input size that is timed at three batches or more."""
    groups: dict[tuple[tuple[str, str], ...], dict[int, Rate]] = {}
    for variant, batch, common in _by_batch(summary):
        if (rate := _rate(summary, variant, batch)) is not None:
            groups.setdefault(common, {})[batch] = rate
    return [_saturation(common, rates) for common, rates in groups.items() if len(rates) >= FEWEST]


Rate = tuple[float, bool]
"""Images per second, and whether the timing was disturbed."""


def _saturation(common: tuple[tuple[str, str], ...], rates: Mapping[int, Rate]) -> Saturation:
    by_batch = sorted(rates.items())
    disturbed = tuple(batch for batch, (_, is_disturbed) in by_batch if is_disturbed)
    return Saturation(common, tuple((batch, rate) for batch, (rate, _) in by_batch), disturbed)


def _by_batch(summary: Summary) -> Iterator[tuple[str, int, tuple[tuple[str, str], ...]]]:
    """(variant, its batch, its other axes) where the batch varies."""
    results = summary.results
    for variant in results.variants if BATCH in results.varied else ():
        axes = {name: text for name, text in results.axes[variant].items() if name in results.varied}
        if BATCH in axes:
            yield variant, int(axes.pop(BATCH)), tuple(axes.items())


def _rate(summary: Summary, variant: str, batch: int) -> Rate | None:
    """The throughput that was measured, else the batch over its latency."""
    for metric in ("throughput", "latency"):
        timed = summary.aggregates.get((variant, metric))
        if timed is not None and timed.value:
            rate = timed.value if metric == "throughput" else 1e3 * batch / timed.value
            return rate, any(detail.get("disturbed") for detail in timed.details)
    return None


@dataclass(frozen=True)
class Fitting:
    """The largest batch for which the memory of a device suffices, by the memory of one image.

    `axes` are those that vary and differ from the baseline, without the batch.
    """

    axes: tuple[tuple[str, str], ...]
    batch: int
    free_mib: float
    image_mib: float


def fitting(summary: Summary) -> list[Fitting]:
    """One for each variant whose memory was measured, where batch or input size varies; of several batches the largest.

    The largest measured batch says best what an image adds.
    """
    batches = {variant: (batch, common) for variant, batch, common in _by_batch(summary)}
    largest: dict[object, tuple[int, Fitting]] = {}
    for aggregate in summary.of("memory") if {BATCH, SHAPE} & {*summary.results.varied} else ():
        for detail in (each for each in aggregate.details if each.get("largest_batch")):
            batch, common = batches.get(aggregate.variant, (1, aggregate.variant))
            axes = _own_axes(summary, aggregate.variant)
            one = Fitting(axes, detail["largest_batch"], detail["free_mib"], detail["image_mib"])
            if common not in largest or batch > largest[common][0]:
                largest[common] = (batch, one)
    return [one for _, one in largest.values()]


def _own_axes(summary: Summary, variant: str) -> tuple[tuple[str, str], ...]:
    results = summary.results
    own, baseline = results.axes[variant], results.axes[results.baseline]
    varied = [name for name in results.varied if name in own and name != BATCH]
    return tuple((name, own[name]) for name in varied if own[name] != baseline.get(name))
