from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from bench.analysis.contrast import ContrastError, Noise, contrast
from bench.analysis.summary import summarise
from bench.stats.inference import tost

BASE = [0.50, 0.52, 0.51]


def verdicts(results) -> dict[tuple[str, str], str | None]:
    return {key: delta.verdict for key, delta in summarise(results).deltas.items()}


def shifted(by: float, noise: float = 0.0) -> list[float]:
    return [value + by + noise * sign for value, sign in zip(BASE, (-1, 0, 1), strict=True)]


def test_verdicts_of_seeds(results_of):
    table = {"net(a=0)": {"miou": BASE, "reach": BASE}}
    rows = {1: (0.2, 0.001), 2: (-0.2, 0.001), 3: (0.01, 0.001)}
    table |= {f"net(a={i})": {"miou": shifted(*row), "reach": shifted(*row)} for i, row in rows.items()}
    by_pair = verdicts(results_of(table))
    assert [by_pair[f"net(a={i})", "miou"] for i in rows] == ["better", "worse", "inconclusive"]
    assert [by_pair[f"net(a={i})", "reach"] for i in rows] == ["changed", "changed", "inconclusive"]


def test_close_scores_are_equivalent_and_equal_ones_the_same(results_of):
    base = [0.5, 0.5005, 0.5002]
    table = {"net(a=0)": {"miou": base}, "net(a=1)": {"miou": base[::-1]}, "net(a=2)": {"miou": base}}
    deltas = summarise(results_of(table)).deltas
    assert deltas["net(a=1)", "miou"].verdict == "equivalent"
    assert deltas["net(a=2)", "miou"].verdict == "same"  # every seed gave the same number
    low, high = deltas["net(a=2)", "miou"].interval
    assert low < 0 < high


def test_only_fractions_are_equivalent_within_a_point(results_of):
    """A score above 1 is not a fraction, and no margin of equivalence is agreed for it."""
    for shift, verdict in ((0.0, "equivalent"), (1.0, "inconclusive")):
        values = [value + shift for value in (0.5, 0.5005, 0.5002)]
        rows = {"net(a=0)": {"miou": values}, "net(a=1)": {"miou": values[::-1]}}
        assert verdicts(results_of(rows))["net(a=1)", "miou"] == verdict


def test_two_variants_alone_are_compared_as_welch_does(results_of):
    other = [0.53, 0.59, 0.56]
    delta = summarise(results_of({"net(a=0)": {"miou": BASE}, "net(a=1)": {"miou": other}})).deltas["net(a=1)", "miou"]
    welch = stats.ttest_ind(other, BASE, equal_var=False)
    assert delta.interval == pytest.approx(tuple(welch.confidence_interval(0.95)))
    assert delta.level == 0.95


def test_more_variants_lend_strength_and_need_stronger_evidence(results_of):
    two = {"net(a=0)": {"miou": [0.50, 0.53, 0.51]}, "net(a=1)": {"miou": [0.56, 0.53, 0.57]}}
    more = two | {f"net(a={i})": {"miou": shifted(0.001 * i, -0.001 * i)} for i in range(2, 7)}
    alone, among = (summarise(results_of(table)).deltas["net(a=1)", "miou"] for table in (two, more))
    assert (alone.level, among.level) == pytest.approx((0.95, 1 - 0.05 / 6))
    assert (alone.verdict, among.verdict) == ("inconclusive", "better")


def test_a_spread_far_above_the_others_widens_its_own_interval_only(results_of):
    table = {f"net(a={i})": {"miou": shifted(0.05 * (i > 2), -0.001 * i)} for i in range(5)}
    with_diverged = table | {"net(a=5)": {"miou": [0.51, 0.03, 0.5]}}
    before, after = (summarise(results_of(each)) for each in (table, with_diverged))
    assert before.noise.spreads["miou"].different == ()
    assert after.noise.spreads["miou"].different == ("net(a=5)",)
    widths = [each.deltas["net(a=3)", "miou"].contrast.estimate.error for each in (before, after)]
    assert widths[0] == pytest.approx(widths[1], rel=1e-9)
    assert after.deltas["net(a=3)", "miou"].verdict == "better"
    assert after.deltas["net(a=5)", "miou"].verdict == "inconclusive"
    low, high = after.deltas["net(a=5)", "miou"].interval
    assert high - low > 0.5


def test_numbers_of_seeds_may_differ(results_of):
    table = {"net(a=0)": {"miou": [*BASE, 0.5, 0.51]}, "net(a=1)": {"miou": [0.6, 0.62]}}
    delta = summarise(results_of(table)).deltas["net(a=1)", "miou"]
    assert delta.difference.value == pytest.approx(0.61 - 0.508)
    assert delta.contrast.basis == "2 to 5 seeds"
    welch = stats.ttest_ind([0.6, 0.62], [*BASE, 0.5, 0.51], equal_var=False)
    assert delta.interval == pytest.approx(tuple(welch.confidence_interval(0.95)))


def test_equal_scores_of_a_variant_are_not_certain(results_of):
    """Counts that do not vary from seed to seed: an interval of zero width would call any difference true."""
    counts = {"net(a=0)": {"reach": [3, 3]}, "net(a=1)": {"reach": [2, 2]}}
    delta = summarise(results_of(counts)).deltas["net(a=1)", "reach"]
    assert delta.verdict == "inconclusive"
    expected = stats.t(2).ppf(0.975) * np.sqrt(2 * (1 / 12) / 2)
    assert delta.interval == pytest.approx((-1 - expected, -1 + expected))


def test_what_is_inconclusive_says_what_it_could_show(results_of):
    table = {f"net(a={i})": {"miou": shifted(0.008 * (i == 1), 0.002 * i)} for i in range(4)}
    delta = summarise(results_of(table)).deltas["net(a=1)", "miou"]
    assert delta.verdict == "inconclusive"
    low, high = delta.contrast.estimate.interval(2 * delta.level - 1)
    assert delta.shown_margin == pytest.approx(max(-low, high))
    assert 3 < delta.seeds_needed < 200
    assert tost(delta.contrast.estimate, delta.shown_margin * 1.001) < 1 - delta.level
    assert tost(delta.contrast.estimate, delta.shown_margin * 0.999) > 1 - delta.level


def test_blocks_of_images_widen_the_interval(results_of):
    random = np.random.default_rng(4)
    of_blocks = {variant: random.normal(0, 0.4, 20) for variant in ("net(a=0)", "net(a=1)")}
    parts = {(variant, "miou", seed): of_blocks[variant] for variant in of_blocks for seed in range(3)}
    table = {"net(a=0)": {"miou": BASE}, "net(a=1)": {"miou": shifted(0.05, 0.001)}}
    bare, full = (summarise(results_of(table, contributions=c)).deltas["net(a=1)", "miou"] for c in ({}, parts))
    assert (bare.verdict, full.verdict) == ("better", "inconclusive")
    assert full.contrast.basis == "3 seeds and 20 blocks of images"
    change = of_blocks["net(a=1)"] - of_blocks["net(a=0)"]
    assert full.contrast.estimate.sources[1].error == pytest.approx(stats.sem(change))
    # the two noises apart: seeds alone are the bare interval, images alone are about their standard error
    assert full.contrast.training() == pytest.approx(bare.interval)
    low, high = full.contrast.evaluation()
    assert high - low == pytest.approx(2 * 1.96 * change.std() / np.sqrt(20), rel=0.1)


@pytest.mark.parametrize("images", [None, 256])
def test_the_effective_number_of_blocks_and_images_is_said_where_frames_are_alike(results_of, images):
    slow = {"net(a=0)": np.zeros(16), "net(a=1)": np.sin(np.arange(16) / 3)}
    parts = {(variant, "miou", seed): slow[variant] for variant in slow for seed in range(3)}
    table = {"net(a=0)": {"miou": BASE}, "net(a=1)": {"miou": shifted(0.05, 0.001)}}
    results = results_of(table, contributions=parts)
    if images:
        results.frame["detail"] = [{"evaluated_images": images}] * len(results.frame)
    found = summarise(results).deltas["net(a=1)", "miou"].contrast
    start = "3 seeds and 256 images in 16 blocks" if images else "3 seeds and 16 blocks of images"
    single = " or 7.1 images" if images else ""
    assert found.basis.startswith(f"{start} (effective number: 4.5 blocks{single}, since neighbouring")


def test_variants_lend_each_other_the_correlation_of_blocks(results_of):
    random = np.random.default_rng(6)
    slow = {f"net(a={i})": np.sin(np.arange(16) / 3 + i) for i in range(5)}
    alike = slow | {"net(a=1)": random.normal(size=16)}
    table = {variant: {"miou": shifted(0.01 * i, 0.001 * i)} for i, variant in enumerate(slow)}
    parts = {(variant, "miou", seed): alike[variant] for variant in table for seed in range(3)}
    all_five = summarise(results_of(table, contributions=parts))
    pair = dict(list(table.items())[:2])
    alone = summarise(results_of(pair, contributions={key: parts[key] for key in parts if key[0] in pair}))
    errors = [each.deltas["net(a=1)", "miou"].contrast.estimate.sources[1].error for each in (all_five, alone)]
    assert all_five.noise.correlations["miou"] > 0.4
    assert alone.noise.correlations == {}
    assert errors[0] > errors[1]


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
    assert by_pair["net(a=1)", "latency"] == "same"


def test_speeds_are_judged_against_the_noise_of_timing(results_of):
    samples = {0: [79.6, 70.3, 86.1, 75.4, 82.6], 1: [70.2, 68.0, 84.3, 77.3, 69.5], 2: [8.1, 7.2, 8.8, 7.9, 7.5]}
    table = {f"net(a={i})": {"latency": values} for i, values in samples.items()}
    deltas = summarise(results_of(table)).deltas
    assert [deltas[f"net(a={i})", "latency"].verdict for i in (1, 2)] == ["within noise", "better"]
    low, high = deltas["net(a=2)", "latency"].interval
    assert -79.6 < low < -71.7 < high < 0
    # a process counts as one draw: more samples of it do not make the noise between processes smaller
    more = {f"net(a={i})": {"latency": [v for v in samples[i] for _ in range(20)]} for i in (0, 1)}
    assert summarise(results_of(more)).deltas["net(a=1)", "latency"].verdict == "within noise"


def test_variants_of_one_graph_are_equally_fast(results_of):
    """Two measurements of one graph are a measurement of the noise, however far they lie apart."""
    table = {"net(a=0)": {"latency": [10.0, 10.1, 10.2], "graph_hash": 77}}
    table |= {"net(a=1)": {"latency": [5.0, 5.1, 5.2], "graph_hash": 77}}
    table |= {"net(a=2)": {"latency": [5.0, 5.1, 5.2], "graph_hash": 78}}
    deltas = summarise(results_of(table)).deltas
    # nothing is faster than the baseline by what the baseline's own graph is
    assert [deltas[f"net(a={i})", "latency"].verdict for i in (1, 2)] == ["within noise", "within noise"]
    assert deltas["net(a=2)", "latency"].level == 0.95  # the pair of one graph is no test, and costs none


def test_what_one_graph_differs_by_is_the_noise_of_other_pairs(results_of):
    """Two processes of one graph have a variance with one degree of freedom; t of 0.975 with one is 12.706."""
    table = {"net(a=0)": {"latency": [10.0, 10.0, 10.0], "graph_hash": 77}}
    table |= {"net(a=1)": {"latency": [10.2, 10.2, 10.2], "graph_hash": 77}}
    table |= {"net(a=2)": {"latency": [1.0, 1.0, 1.0], "graph_hash": 78}}
    delta = summarise(results_of(table)).deltas["net(a=2)", "latency"]
    spread = np.log(1.02) / np.sqrt(2)
    reach = 12.706 * spread * np.sqrt(2)
    assert delta.verdict == "better"
    assert delta.interval == pytest.approx([10 * (0.1 * np.exp(sign * reach) - 1) for sign in (-1, 1)], rel=1e-3)
    assert "processes of one network differ by 1.4 %" in delta.contrast.basis


def test_a_shared_timing_is_no_second_process(results_of):
    same = {"latency": [10.0, 10.1, 10.2], "graph_hash": 77}
    other = {"latency": [5.0, 5.1, 5.2], "graph_hash": 78}
    results = results_of({"net(a=0)": same, "net(a=1)": same, "net(a=2)": other})
    details = [
        {"shared_with": "net(a=0)"} if v == "net(a=1)" else d for v, d in results.frame[["variant", "detail"]].values
    ]
    summary = summarise(dataclasses.replace(results, frame=results.frame.assign(detail=details)))
    assert summary.noise.processes == {}
    assert summary.deltas["net(a=1)", "latency"].verdict in ("same", "within noise")
    assert summary.deltas["net(a=2)", "latency"].verdict == "better"


def with_processes(results, earlier):
    """The results, with the medians of earlier processes of each variant."""
    rows = results.frame[["variant", "detail"]].values
    details = [{**(detail or {}), "earlier_processes": earlier[variant]} for variant, detail in rows]
    return dataclasses.replace(results, frame=results.frame.assign(detail=details))


def test_several_processes_measure_the_noise_between_them(results_of):
    """The interval is that of a pooled t test on the logarithms of the medians of processes."""
    latest = {"net(a=0)": {"latency": [10.0] * 5}, "net(a=1)": {"latency": [9.0] * 5}}
    earlier = {"net(a=0)": [10.4, 9.7], "net(a=1)": [9.3, 8.9]}
    summary = summarise(with_processes(results_of(latest), earlier))
    delta = summary.deltas["net(a=1)", "latency"]
    one, other = ([*earlier[v], *latest[v]["latency"][:1]] for v in ("net(a=1)", "net(a=0)"))
    expected = stats.ttest_ind(np.log(one), np.log(other)).confidence_interval(0.95)
    base = stats.gmean(other)
    assert summary.aggregates["net(a=0)", "latency"].value == pytest.approx(base)
    assert delta.difference.value == pytest.approx(stats.gmean(one) - base)
    assert delta.interval == pytest.approx([base * np.expm1(end) for end in expected])
    assert delta.verdict == "better"
    assert "3 processes for each variant" in delta.contrast.basis


@pytest.mark.parametrize("memory", [[44.0, 44.0, 44.0], [44.0, 44.0, 43.99]])
def test_equal_samples_of_a_process_are_not_certainty(results_of, memory: list[float]):
    """A process that gives one number each time says nothing of another process; the run's timings vary by 3 %."""
    table = {f"net(a={i})": {"memory": [m + i * 0.05 for m in memory], "latency": [1.0, 1.03, 1.06]} for i in range(3)}
    table["net(a=3)"] = {"memory": [88.0, 88.0, 88.0], "latency": [1.0, 1.03, 1.06]}
    deltas = summarise(results_of(table)).deltas
    assert [deltas[f"net(a={i})", "memory"].verdict for i in (1, 2, 3)] == ["within noise", "within noise", "worse"]


def test_where_nothing_varies_nothing_is_known_of_the_noise(results_of):
    table = {"net(a=0)": {"memory": [44.0] * 3}, "net(a=1)": {"memory": [43.0] * 3}}
    delta = summarise(results_of(table)).deltas["net(a=1)", "memory"]
    assert (delta.verdict, delta.interval) == (None, None)
    assert delta.difference.value == -1


def test_one_graph_under_another_workload_is_timed_by_itself(results_of):
    table = {"net(a=1)": {"latency": [10.0, 10.1, 10.2], "graph_hash": 77}}
    table |= {"net(a=2)": {"latency": [5.0, 5.1, 5.2], "graph_hash": 77}}
    results = results_of(table)
    threads = {name: {"workload.threads": axes["a"]} for name, axes in results.axes.items()}
    assert verdicts(dataclasses.replace(results, axes=threads))["net(a=2)", "latency"] == "better"


def test_processes_of_one_network_are_rarely_called_different(results_of):
    """A/A: three processes each of five equal networks, which differ by 8 % and vary by 0.5 % within."""
    random = np.random.default_rng(5)
    wrong = 0
    for _ in range(60):
        medians = np.exp(random.normal(0, 0.08, (5, 3)))
        latest = {
            f"net(a={i})": {"latency": list(m[2] * np.exp(random.normal(0, 0.005, 5)))} for i, m in enumerate(medians)
        }
        results = with_processes(results_of(latest), {f"net(a={i})": list(m[:2]) for i, m in enumerate(medians)})
        wrong += any(verdict in ("better", "worse") for verdict in verdicts(results).values())
    assert wrong <= 7  # 5 % are 3; two standard deviations more are 6.4


def test_one_sample_of_a_speed_is_not_judged(results_of):
    delta = summarise(results_of({"net(a=0)": {"latency": [2.0]}, "net(a=1)": {"latency": [1.0]}})).deltas
    assert (delta["net(a=1)", "latency"].verdict, delta["net(a=1)", "latency"].interval) == (None, None)


def test_what_cannot_be_estimated_says_why(results_of):
    table = {
        "net(a=0)": {"miou": BASE, "macs": 1},
        "net(a=1)": {"miou": [0.5, "diverged: nan\nTraceback", 0.5], "macs": None},
    }
    aggregates = summarise(results_of(table)).aggregates
    with pytest.raises(ContrastError, match=r"miou of net\(a=1\) \(seed 1\) failed: diverged: nan$"):
        contrast([(1.0, aggregates["net(a=1)", "miou"])], 0.0, Noise())
    with pytest.raises(ContrastError, match=r"macs of net\(a=1\) is not measured"):
        contrast([(1.0, aggregates["net(a=1)", "macs"])], 0.0, Noise())
