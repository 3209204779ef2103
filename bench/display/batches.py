"""Sentences about batches: where a device is saturated, and the largest batch that fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.saturation import NEAR, Fitting, Saturation, fitting, saturations
from bench.analysis.summary import Summary


def batch_notes(summary: Summary) -> Iterator[str]:
    """Notes under a table whose variants differ in batch or input size; nothing under others."""
    yield from map(_saturated, saturations(summary))
    yield from map(_fits, fitting(summary))


def _at(axes: Sequence[tuple[str, str]]) -> str:
    return f" at {', '.join(f'{axis}={text}' for axis, text in axes)}" if axes else ""


def _saturated(one: Saturation) -> str:
    best_batch, best = one.best
    name = f"throughput{_at(one.common)}"
    if one.disturbed:
        batches = ", ".join(map(str, one.disturbed))
        why = f"since the times of batch {batches} were disturbed"
        return f"{name}: which batch saturates the device is not decided, {why}"
    text = f"{name}: best {best:,.4g} images/s at batch {best_batch}"
    if one.rises:
        return f"{text}, the largest measured and more than {1 - NEAR:.0%} above all others: it may rise further"
    return f"{text}; within {1 - NEAR:.0%} of it from batch {one.batch} on, which saturates the device"


def _fits(one: Fitting) -> str:
    return (
        f"largest batch that fits{_at(one.axes) or ' with the baseline'}: about {one.batch:,} "
        f"({one.image_mib:.3g} MiB an image, {one.free_mib:,.0f} MiB were free)"
    )
