"""The batch from which on a device is saturated, and the largest that fits, from numbers that are known."""

from __future__ import annotations

import dataclasses

import pytest

from bench.analysis.saturation import Saturation, fitting, saturations
from bench.analysis.summary import summarise
from bench.display.batches import batch_notes


@pytest.mark.parametrize(
    ("rates", "batch", "rises"),
    [
        ([(1, 50.0), (2, 94.0), (4, 100.0), (8, 99.0)], 4, False),
        ([(1, 50.0), (2, 95.0), (4, 100.0), (8, 99.0)], 2, False),
        ([(1, 10.0), (2, 20.0), (4, 40.0)], 4, True),
        ([(1, 100.0), (2, 90.0), (4, 50.0)], 1, False),
        ([(1, 10.0), (2, 96.0), (4, 100.0)], 2, False),
    ],
)
def test_saturated_is_the_smallest_batch_within_five_percent_of_the_best(rates, batch, rises):
    one = Saturation((), tuple(rates))
    assert (one.batch, one.rises) == (batch, rises)


def by_batch(results_of, metric, values, shapes=("[3,8,8]",), details=None):
    """Results of a network at batches 1, 2, 4, 8 for each shape."""
    rows = [(shape, batch) for shape in shapes for batch in (1, 2, 4, 8)]
    scores = {f"net(a={i})": {metric: [value]} for i, value in enumerate(values)}
    results = results_of(scores)
    axes = [{"workload.shape": shape, "workload.batch": str(batch)} for shape, batch in rows]
    frame = results.frame
    if details:
        by_variant = dict(zip(results.variants, details, strict=True))
        frame = frame.assign(detail=[by_variant[variant] for variant in frame["variant"]])
    by_axes = dict(zip(results.variants, axes, strict=True))
    return dataclasses.replace(results, frame=frame, axes=by_axes, varied=tuple(axes[0]))


def notes(results):
    return [*batch_notes(summarise(results))]


def test_each_input_size_has_its_own_saturation(results_of):
    results = by_batch(results_of, "latency", [10, 10, 10, 20, 10, 20, 40, 80], ("[3,8,8]", "[3,9,9]"))
    small, large = saturations(summarise(results))
    assert small.common == (("workload.shape", "[3,8,8]"),)
    assert small.rates == ((1, 100.0), (2, 200.0), (4, 400.0), (8, 400.0))
    assert (small.batch, small.best, large.batch) == (4, (4, 400.0), 1)
    first, second = notes(results)
    assert first == (
        "throughput at workload.shape=[3,8,8]: best 400 images/s at batch 4; within 5% of it from batch 4 on, "
        "which saturates the device"
    )
    assert "from batch 1 on" in second


def test_a_throughput_that_still_rises_is_not_called_saturated(results_of):
    (note,) = notes(by_batch(results_of, "throughput", [10, 20, 40, 80]))
    assert note.endswith(
        "best 80 images/s at batch 8, the largest measured and more than 5% above all others: it may rise further"
    )


def test_nothing_follows_from_times_that_were_disturbed(results_of):
    details = [{"disturbed": batch in (2, 8)} for batch in (1, 2, 4, 8)]
    (note,) = notes(by_batch(results_of, "throughput", [10, 20, 40, 20], details=details))
    assert note == (
        "throughput at workload.shape=[3,8,8]: which batch saturates the device is not decided, "
        "since the times of batch 2, 8 were disturbed"
    )


def test_the_largest_batch_that_fits_is_that_of_the_largest_measured(results_of):
    details = [{"largest_batch": 100 * n, "free_mib": 2000.0, "image_mib": 20.0 / n} for n in (1, 2, 3, 4)]
    results = by_batch(results_of, "memory", [1, 2, 3, 4], details=details)
    (one,) = fitting(summarise(results))
    assert (one.axes, one.batch) == ((), 400)
    assert notes(results) == [
        "largest batch that fits with the baseline: about 400 (5 MiB an image, 2,000 MiB were free)"
    ]


def test_each_input_size_has_its_own_largest_batch(results_of):
    details = [{"largest_batch": 100 * n, "free_mib": 2000.0, "image_mib": 20.0 / n} for n in range(1, 9)]
    results = by_batch(results_of, "memory", [*range(1, 9)], ("[3,8,8]", "[3,9,9]"), details)
    first, second = notes(results)
    assert first.startswith("largest batch that fits with the baseline: about 400 ")
    assert second.startswith("largest batch that fits at workload.shape=[3,9,9]: about 800 ")


def test_other_ablations_have_no_such_notes(results_of):
    results = results_of({"net(a=1)": {"latency": [1.0]}, "net(a=2)": {"latency": [2.0]}})
    assert notes(results) == []
