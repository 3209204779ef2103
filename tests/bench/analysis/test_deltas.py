from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.analysis.contrast import ContrastError, contrast
from bench.analysis.summary import summarise
from bench.stats.inference import crossed

BASE = [0.50, 0.52, 0.51]


def verdicts(results) -> dict[tuple[str, str], str | None]:
    return {key: delta.verdict for key, delta in summarise(results).deltas.items()}


def shifted(by: float, noise: float = 0.0) -> list[float]:
    return [value + by + noise * sign for value, sign in zip(BASE, (-1, 0, 1), strict=True)]


def test_verdicts_of_seeds(results_of):
    table = {"net(a=0)": {"miou": BASE, "reach": BASE}}
    rows = {1: (0.2, 0.001), 2: (-0.2, 0.001), 3: (0.0, 0.0002), 4: (0.02, 0.05)}
    table |= {f"net(a={i})": {"miou": shifted(*row), "reach": shifted(*row)} for i, row in rows.items()}
    by_pair = verdicts(results_of(table))
    assert [by_pair[f"net(a={i})", "miou"] for i in rows] == ["better", "worse", "equivalent", "inconclusive"]
    # a metric without a direction changes; one that is not a fraction has no margin of equivalence
    assert [by_pair[f"net(a={i})", "reach"] for i in rows] == ["changed", "changed", "inconclusive", "inconclusive"]


def test_only_fractions_are_equivalent_within_a_point(results_of):
    """A score above 1 is not a fraction, and no margin of equivalence is agreed for it."""
    values = shifted(1.0)
    by_pair = verdicts(results_of({"net(a=0)": {"miou": values}, "net(a=1)": {"miou": [v + 1e-4 * v for v in values]}}))
    assert by_pair["net(a=1)", "miou"] == "better"
    rows = {"net(a=0)": {"miou": values}, "net(a=1)": {"miou": [values[0] + 1e-4, values[1], values[2] - 1e-4]}}
    assert verdicts(results_of(rows))["net(a=1)", "miou"] == "inconclusive"


def test_an_interval_is_wider_in_a_larger_family(results_of):
    two = {"net(a=0)": {"miou": BASE}, "net(a=1)": {"miou": shifted(0.05, 0.01)}}
    more = two | {f"net(a={i})": {"miou": shifted(0, 0.01)} for i in range(2, 7)}
    alone, among = (summarise(results_of(table)).deltas["net(a=1)", "miou"] for table in (two, more))
    expected = stats.ttest_1samp([0.04, 0.05, 0.06], 0).confidence_interval(0.95)
    assert alone.interval == pytest.approx(tuple(expected))
    assert (alone.level, among.level) == pytest.approx((0.95, 1 - 0.05 / 6))
    assert (alone.verdict, among.verdict) == ("better", "inconclusive")


def test_blocks_of_images_widen_the_interval(results_of):
    random = np.random.default_rng(0)
    of_blocks = {variant: random.normal(0, 0.4, 20) for variant in ("net(a=0)", "net(a=1)")}
    parts = {(variant, "miou", seed): of_blocks[variant] for variant in of_blocks for seed in range(3)}
    table = {"net(a=0)": {"miou": BASE}, "net(a=1)": {"miou": shifted(0.05, 0.001)}}
    bare, full = (summarise(results_of(table, contributions=c)).deltas["net(a=1)", "miou"] for c in ({}, parts))
    assert (bare.verdict, full.verdict) == ("better", "inconclusive")
    assert full.contrast.basis == "3 seeds and 20 blocks of images"
    stacked = np.stack([parts["net(a=1)", "miou", s] - parts["net(a=0)", "miou", s] for s in range(3)])
    assert full.interval == pytest.approx(crossed(full.contrast.by_seed, stacked).interval(0.95))
    # the two noises apart: seeds alone are the bare interval, images alone are about their standard error
    assert full.contrast.training() == pytest.approx(bare.interval)
    low, high = full.contrast.evaluation()
    assert high - low == pytest.approx(2 * 1.96 * stacked.mean(axis=0).std() / np.sqrt(20), rel=0.1)


def test_contributions_of_one_variant_alone_are_not_used(results_of):
    parts = {("net(a=0)", "miou", seed): np.arange(5.0) for seed in range(3)}
    table = {"net(a=0)": {"miou": BASE}, "net(a=1)": {"miou": shifted(0.05, 0.001)}}
    assert summarise(results_of(table, contributions=parts)).deltas["net(a=1)", "miou"].contrast.basis == "3 seeds"


def test_an_incomplete_grid_has_no_verdicts(results_of):
    table = {"net(a=0)": {"miou": BASE}, "net(a=1)": {"miou": shifted(0.2)}, "net(a=2)": {"miou": [0.5, None, 0.5]}}
    by_pair = summarise(results_of(table)).deltas
    assert {delta.verdict for delta in by_pair.values()} == {"missing"}
    assert all(delta.interval is None for delta in by_pair.values())
    assert by_pair["net(a=1)", "miou"].difference.value == pytest.approx(0.2)


def test_a_failed_seed_breaks_its_own_variant_only(results_of):
    table = {"net(a=0)": {"miou": BASE}, "net(a=1)": {"miou": shifted(0.2, 1e-3)}}
    table["net(a=2)"] = {"miou": [0.7, "diverged: nan", 0.7]}
    assert verdicts(results_of(table)) == {("net(a=1)", "miou"): "better", ("net(a=2)", "miou"): "broken"}
    table = {"net(a=0)": {"miou": [0.5, "diverged: nan", 0.5]}, "net(a=1)": {"miou": BASE}}
    assert verdicts(results_of(table)) == {("net(a=1)", "miou"): "broken"}


def test_one_seed_decides_nothing(results_of):
    delta = summarise(results_of({"net(a=0)": {"miou": [0.1]}, "net(a=1)": {"miou": [0.9]}})).deltas["net(a=1)", "miou"]
    assert (delta.verdict, delta.interval) == ("inconclusive", None)


def test_exact_numbers_are_compared_as_they_are(results_of):
    table = {"net(a=0)": {"macs": 10, "latency": [1.0, 2.0]}}
    table |= {f"net(a={i})": {"macs": macs, "latency": [1.0, 2.0]} for i, macs in enumerate((9, 10, 11), 1)}
    by_pair = verdicts(results_of(table))
    assert [by_pair[f"net(a={i})", "macs"] for i in (1, 2, 3)] == ["better", "same", "worse"]
    assert by_pair["net(a=1)", "latency"] is None


def test_what_cannot_be_estimated_says_why(results_of):
    table = {
        "net(a=0)": {"miou": BASE, "macs": 1},
        "net(a=1)": {"miou": [0.5, "diverged: nan\nTraceback", 0.5], "macs": None},
    }
    aggregates = summarise(results_of(table)).aggregates
    with pytest.raises(ContrastError, match=r"miou of net\(a=1\) \(seed 1\) failed: diverged: nan$"):
        contrast([(1.0, aggregates["net(a=1)", "miou"])], 0.0, {})
    with pytest.raises(ContrastError, match=r"macs of net\(a=1\) is not measured"):
        contrast([(1.0, aggregates["net(a=1)", "macs"])], 0.0, {})
    other = summarise(results_of({"net(a=0)": {"miou": [0.5, 0.6]}})).aggregates["net(a=0)", "miou"]
    with pytest.raises(ContrastError, match="has other seeds than"):
        contrast([(1.0, aggregates["net(a=0)", "miou"]), (-1.0, other)], 0.0, {})
