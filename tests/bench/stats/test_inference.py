from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.stats.inference import (
    FEWEST_DEGREES,
    LEAST,
    MOST_ALIKE,
    Exact,
    Ratio,
    Source,
    Student,
    block_correlation,
    bootstrap,
    common_correlation,
    detectable,
    effective_images,
    effective_number,
    error_probability,
    evaluation_source,
    holm,
    least_effect,
    leaves_out_zero,
    neighbour_correlation,
    paired_t,
    pareto,
    pseudovalues,
    seeds_to_decide,
    tost,
    widening,
)
from bench.stats.moderation import moderated, source_of_means


def test_a_paired_t_interval_is_student_s():
    values = [
        1.9,
        0.8,
        1.1,
        0.1,
        -0.1,
        4.4,
        5.5,
        1.6,
        4.6,
        3.4,
    ]  # Student 1908, hours of sleep gained, second drug less first
    found = paired_t(values)
    expected = stats.ttest_1samp(values, 0)
    assert found.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert error_probability(found, leaves_out_zero) == pytest.approx(expected.pvalue, rel=1e-6)


def test_one_seed_tells_nothing():
    assert paired_t([0.3]).interval(0.5) == (-math.inf, math.inf)
    assert error_probability(paired_t([0.3]), leaves_out_zero) == 1.0
    assert Student(0.3, (Source(0.0, 0), Source(0.1, 9))).interval(0.95) == (-math.inf, math.inf)


def test_evaluation_noise_of_one_run_is_the_variance_of_its_blocks():
    units = np.random.default_rng(3).normal(size=40)
    assert neighbour_correlation(units) < 0
    source = evaluation_source([(1.0, units[None])])
    assert (source.error, source.freedom) == (pytest.approx(stats.sem(units)), 39)


def test_what_single_runs_add_is_no_evaluation_noise():
    """The expected variance of the blocks' means over S runs is that of the images plus that of the rest over S."""
    random = np.random.default_rng(1)
    errors = []
    for _ in range(400):
        images, rest = random.normal(size=(1, 30)), 2 * random.normal(size=(3, 30))
        errors.append(evaluation_source([(1.0, images + rest)]).error ** 2 * 30)
    assert 1 < np.mean(errors) < 1.55  # above 1 since neighbours sometimes correlate by chance, which only widens


def test_what_two_variants_share_of_an_image_cancels():
    images = np.random.default_rng(4).normal(size=(1, 25))
    assert neighbour_correlation(images[0]) < 0
    runs = [np.repeat(images, 3, axis=0), np.repeat(images, 5, axis=0)]
    assert evaluation_source([(1.0, runs[0]), (-1.0, runs[1])]).error == pytest.approx(0, abs=1e-12)
    assert evaluation_source([(1.0, runs[0])]).error == pytest.approx(stats.sem(images[0]))


def frames(random: np.random.Generator, count: int, correlation: float) -> np.ndarray:
    """(count,) values of frames, each like the one before."""
    values = random.normal(size=count)
    for i in range(1, count):
        values[i] = correlation * values[i - 1] + math.sqrt(1 - correlation**2) * values[i]
    return values


@pytest.mark.parametrize(
    ("count", "blocks", "correlation", "least"),
    [(100, 10, 0.0, 0.94), (100, 10, 0.87, 0.92), (100, 10, 0.9, 0.915), (500, 22, 0.9, 0.93)],
)
def test_intervals_hold_the_truth_where_frames_are_alike(count: int, blocks: int, correlation: float, least: float):
    """Of one difference alone; the differences of a table lend each other their correlation (tests/perf)."""
    random = np.random.default_rng(12)
    covered = plain = 0
    for _ in range(1500):
        parts = np.array([part.mean() for part in np.array_split(frames(random, count, correlation), blocks)])
        source = evaluation_source([(1.0, parts[None])])
        covered += not leaves_out_zero(Student(float(parts.mean()), (source,)).interval(0.95))
        plain += not leaves_out_zero(paired_t(parts.tolist()).interval(0.95))
    assert least <= covered / 1500 <= 0.98
    if correlation and count == 100:
        assert plain / 1500 < 0.86


def test_blocks_that_are_alike_count_less():
    slow, quick = np.sin(np.arange(16) / 3), np.tile([1.0, -1.0], 8)
    assert block_correlation(slow) == MOST_ALIKE
    assert block_correlation(quick) == block_correlation(np.ones(5)) == 0.0
    assert block_correlation(slow, common=-0.3) == pytest.approx(neighbour_correlation(slow) / (1 - 4 / 16) / 2 - 0.15)
    alone, alike = (evaluation_source([(1.0, each[None])]) for each in (quick, slow))
    assert (alone.error, alone.freedom) == (pytest.approx(stats.sem(quick)), 15)
    assert alike.error > 2 * stats.sem(slow)
    half = evaluation_source([(1.0, quick[None])], correlation=0.5)
    assert (half.freedom, alike.freedom) == (pytest.approx(15 * 0.5 / 1.5), FEWEST_DEGREES)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_widening_is_that_of_the_mean_of_an_autoregressive_series(correlation: float):
    count = 12
    distance = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    covariance = correlation ** distance.astype(float)
    of_mean = covariance.mean()
    expected = (np.trace(covariance) - count * of_mean) / (count - 1)  # of the variance between the values
    assert widening(correlation, count) * expected / count == pytest.approx(of_mean)
    assert effective_number(correlation, count) == pytest.approx(1 / of_mean)


def test_differences_have_a_correlation_in_common():
    random = np.random.default_rng(2)
    series = np.stack([frames(random, 200, 0.7) for _ in range(8)]) + 5 * frames(random, 200, 0.99)
    assert common_correlation(series) == pytest.approx(0.7, abs=0.05)  # what all variants share plays no part
    assert common_correlation(series[:2]) is None
    assert common_correlation(np.ones((4, 10))) is None


@pytest.mark.parametrize(("correlation", "images", "blocks"), [(0.9, 100, 10), (0.6, 100, 10), (0.95, 500, 22)])
def test_the_effective_number_of_images_is_that_of_their_correlation(correlation: float, images: int, blocks: int):
    """From the exact covariances of blocks of an autoregressive series."""
    distance = np.abs(np.subtract.outer(np.arange(images), np.arange(images)))
    covariance, length = correlation ** distance.astype(float), round(images / blocks)
    first, second = slice(0, length), slice(length, 2 * length)
    of_blocks = covariance[first, second].mean() / covariance[first, first].mean()
    effective = effective_images(of_blocks, images, images / length)
    assert effective == pytest.approx(1 / covariance.mean(), rel=1e-4)
    assert effective_images(0.0, images, blocks) == pytest.approx(images)


def test_the_correlation_of_independent_neighbours_is_zero_on_average():
    random = np.random.default_rng(13)
    assert np.mean([neighbour_correlation(random.normal(size=10)) for _ in range(4000)]) == pytest.approx(0, abs=0.02)


def test_several_sources_are_combined_as_welch_and_satterthwaite_do():
    one, other = [1.9, 0.8, 1.1, 0.1], [4.4, 5.5, 1.6, 4.6, 3.4, 9.9]
    sources = tuple(Source(float(stats.sem(each)), len(each) - 1) for each in (one, other))
    welch = stats.ttest_ind(one, other, equal_var=False)
    mine = Student(float(np.mean(one) - np.mean(other)), sources)
    assert mine.interval(0.95) == pytest.approx(tuple(welch.confidence_interval(0.95)))
    assert error_probability(mine, leaves_out_zero) == pytest.approx(welch.pvalue, rel=1e-6)
    assert mine.freedom == pytest.approx(welch.df)


def test_the_seeds_that_decide_are_the_fewest_that_do():
    training = Source(0.02 / math.sqrt(3), 10)
    estimate = Student(0.015, (training, Source(0.003, 9)))
    seeds = seeds_to_decide(estimate, 3)
    assert seeds is not None
    for count, decided in ((seeds, True), (seeds - 1, False)):
        source = Source(0.02 / math.sqrt(count), 10 * (count - 1) / 2)
        assert leaves_out_zero(Student(0.015, (source, Source(0.003, 9))).interval(0.95)) == decided
    assert seeds_to_decide(Student(0.015, (training, Source(0.02, 9))), 3) is None  # images alone are too noisy
    assert seeds_to_decide(estimate, 1) is None


def iou(cells: np.ndarray) -> float:
    """Mean IoU of summed confusion matrices (N, C, C)."""
    total = cells.sum(axis=0)
    hits = np.diagonal(total)
    return float(np.mean(hits / (total.sum(0) + total.sum(1) - hits)))


def photographs(random: np.random.Generator, count: int) -> np.ndarray:
    """Confusion matrices (N, 3, 3) of images whose classes and difficulty differ."""
    pixels = np.round(300 * random.dirichlet([2, 1, 0.6], size=count)).astype(int) + 5
    right = np.clip(random.normal(0.75, 0.12, size=(count, 3)), 0.3, 0.98)
    wrong = (1 - right) / 2
    shares = np.where(np.eye(3, dtype=bool), right[:, :, None], wrong[:, :, None])
    return random.multinomial(pixels, shares)


def test_pseudovalues_of_a_mean_are_the_values():
    values = np.random.default_rng(0).normal(size=12)
    assert pseudovalues(lambda chosen: float(values[chosen].mean()), 12, blocks=12) == pytest.approx(values)
    found = pseudovalues(lambda chosen: float(values[chosen].mean()), 12, blocks=5)
    assert found == pytest.approx([part.mean() for part in np.array_split(values, 5)])


def test_pseudovalues_spread_as_the_bootstrap_of_the_whole_metric_does():
    cells = photographs(np.random.default_rng(5), 60)
    parts = pseudovalues(lambda chosen: iou(cells[chosen]), 60, blocks=60)
    assert parts is not None
    random = np.random.default_rng(6)
    draws = [iou(cells[random.integers(0, 60, 60)]) for _ in range(1500)]
    assert parts.std(ddof=1) / math.sqrt(60) == pytest.approx(np.std(draws), rel=0.12)
    low, high = bootstrap(lambda drawn: iou(cells[drawn]), 60, draws=1500)
    linear = bootstrap(lambda drawn: float(parts[drawn].mean()), 60, draws=1500)
    assert linear == pytest.approx((low, high), abs=0.15 * (high - low))


def test_blocks_see_the_noise_of_frames_that_are_alike():
    """Frames of a video, each like the one before (correlation 0.8): one by one they seem to say more than they do."""
    random = np.random.default_rng(1)
    single, blocks, means = [], [], []
    for _ in range(200):
        values = random.normal(size=125)
        for i in range(1, 125):
            values[i] = 0.8 * values[i - 1] + 0.6 * values[i]
        alone, together = (pseudovalues(lambda chosen, v=values: float(v[chosen].mean()), 125, n) for n in (125, None))
        assert len(together) == 11
        single.append(alone.std(ddof=1) / math.sqrt(125))
        blocks.append(together.std(ddof=1) / math.sqrt(11))
        means.append(values.mean())
    assert np.mean(single) < 0.4 * np.std(means)
    assert 0.7 * np.std(means) < np.mean(blocks) < np.std(means)


def test_no_units_no_pseudovalues():
    assert pseudovalues(lambda chosen: 1.0, 1) is None
    assert pseudovalues(lambda chosen: 1.0 if len(chosen) == 5 else None, 5) is None


def test_a_bootstrap_is_the_same_each_time():
    values = np.arange(20.0)
    again = [bootstrap(lambda drawn: float(values[drawn].mean()), 20, draws=50) for _ in range(2)]
    assert again[0] == again[1]


def test_a_ratio_is_judged_on_the_log_scale():
    ratio = Ratio(46.0, 1.0, (Source(0.1, 8),))
    log = Student(math.log(46), (Source(0.1, 8),)).interval(0.95)
    assert ratio.value == 45
    assert ratio.interval(0.95) == pytest.approx([math.exp(end) - 1 for end in log])
    assert error_probability(ratio, leaves_out_zero) == pytest.approx(2 * stats.t.sf(math.log(46) / 0.1, 8), rel=1e-5)
    assert Ratio(1.0, 2.0, (Source(50.0, 1),)).interval(0.99) == (-2.0, math.inf)  # nothing takes less than no time


def test_exact_numbers_are_certain():
    assert error_probability(Exact(0.1), leaves_out_zero) == LEAST
    assert error_probability(Exact(0.0), leaves_out_zero) == 1.0


def test_equivalence_is_two_one_sided_tests():
    values = [0.004, -0.002, 0.003, 0.001, -0.001]
    found, error = paired_t(values), stats.sem(values)
    upper = stats.t.sf((0.01 - np.mean(values)) / error, 4)
    lower = stats.t.sf((np.mean(values) + 0.01) / error, 4)
    assert tost(found, 0.01) == pytest.approx(max(upper, lower), rel=1e-5)
    low, high = found.interval(0.9)
    assert (tost(found, 0.01) < 0.05) == (low > -0.01 and high < 0.01)
    assert tost(found, 0.001) > 0.05
    with pytest.raises(ValueError, match="margin above zero"):
        tost(found, 0.0)


def test_holm_s_procedure():
    # Holm 1979's steps at 5 %: 0.0125, 0.0167, 0.025; 0.03 stands, and so does 0.04 behind it
    told = holm({"a": 0.03, "b": 0.005, "c": 0.04, "d": 0.016})
    assert {key: rejected for key, (rejected, _) in told.items()} == {"a": False, "b": True, "c": False, "d": True}
    assert {key: 1 - level for key, (_, level) in told.items()} == pytest.approx(
        {"b": 0.0125, "d": 0.05 / 3, "a": 0.025, "c": 0.025}
    )
    assert list(told) == ["a", "b", "c", "d"]
    assert holm({}) == {}


def test_an_interval_at_holm_s_level_leaves_zero_out_exactly_where_it_rejects():
    random = np.random.default_rng(9)
    for _ in range(30):
        found = {i: paired_t((random.normal(size=5) + i).tolist()) for i in range(4)}
        told = holm({i: error_probability(each, leaves_out_zero) for i, each in found.items()})
        for i, (rejected, level) in told.items():
            assert leaves_out_zero(found[i].interval(level)) == rejected


def test_the_least_effect_is_where_a_verdict_begins():
    assert least_effect(1) == math.inf
    unit = np.array([-1.0, 0.0, 1.0])
    for factor, expected in ((0.999, False), (1.001, True)):
        groups = {i: (unit + (i == 5) * factor * least_effect(3, 5)).tolist() for i in range(6)}
        spreads = moderated(groups).groups
        estimate = Student(np.mean(groups[5]), (source_of_means([(1.0, spreads[5]), (-1.0, spreads[0])]),))
        assert leaves_out_zero(estimate.interval(1 - 0.05 / 5)) == expected


def test_the_detectable_difference_has_its_power():
    assert detectable(1) == math.inf
    random = np.random.default_rng(14)
    difference = detectable(3)
    one, other = random.normal(size=(2, 4000, 3))
    pooled = stats.ttest_ind(one + difference, other, axis=1).pvalue
    assert np.mean(pooled < 0.05) == pytest.approx(0.8, abs=0.025)
    assert detectable(5) < detectable(3) < detectable(3, comparisons=5) < detectable(3, power=0.99)


def test_a_pareto_front_has_ties_and_directions():
    points = {"a": (0.5, 10), "b": (0.5, 10), "c": (0.6, 20), "d": (0.55, 20), "e": (0.4, 9), "f": (0.4, 10)}
    assert pareto(points, ("higher", "lower")) == ("a", "b", "c", "e")
    assert pareto(points, ("lower", "lower")) == ("e",)
    assert pareto({}, ("higher",)) == ()
    with pytest.raises(ValueError, match="zip"):
        pareto({"a": (1.0,)}, ("higher", "lower"))


def test_a_front_of_three_objectives_is_what_the_definition_says():
    values = np.random.default_rng(10).integers(0, 4, size=(40, 3)).tolist()
    points = dict(enumerate(values))
    kept = pareto(points, ("higher", "lower", "higher"))
    for i, mine in points.items():
        as_good = [o for o in points.values() if o[0] >= mine[0] and o[1] <= mine[1] and o[2] >= mine[2]]
        assert (i in kept) == all(other == mine for other in as_good)


P_VALUES = st.dictionaries(st.integers(0, 9), st.floats(0, 1), max_size=8)


@given(P_VALUES, st.floats(0.8, 0.999))
def test_holm_rejects_the_least_p_values_between_bonferroni_and_no_correction(p_values: dict[int, float], level: float):
    decisions = holm(p_values, level)
    assert list(decisions) == list(p_values)
    rejected = [p_values[key] for key, (yes, _) in decisions.items() if yes]
    standing = [p_values[key] for key, (yes, _) in decisions.items() if not yes]
    assert max(rejected, default=0) <= min(standing, default=1)
    alpha = 1 - level
    assert all(p <= alpha for p in rejected)
    assert all(p > alpha / len(p_values) for p in standing)
    assert all((p_values[key] <= 1 - each) == yes for key, (yes, each) in decisions.items() if yes)


@given(P_VALUES, st.integers(0, 9))
def test_holm_s_rejections_grow_when_a_p_value_falls(p_values: dict[int, float], key: int):
    if key in p_values:
        before, after = holm(p_values), holm({**p_values, key: p_values[key] / 2})
        assert all(after[other][0] or not rejected for other, (rejected, _) in before.items())


POINTS = st.dictionaries(st.integers(0, 30), st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12)


@given(POINTS, st.tuples(*[st.sampled_from(["higher", "lower"])] * 2))
def test_whatever_is_not_on_the_front_is_dominated_by_a_point_on_it(points, better):
    front = pareto(points, better)
    assert bool(front) == bool(points)
    assert pareto({key: points[key] for key in front}, better) == front
    for key in points.keys() - set(front):
        assert pareto({"it": points[key], **{other: points[other] for other in front}}, better).count("it") == 0
    turned = {key: tuple(-value for value in point) for key, point in points.items()}
    assert pareto(turned, [{"higher": "lower", "lower": "higher"}[each] for each in better]) == front


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=40), st.data())
def test_the_mean_of_a_mean_s_pseudovalues_is_the_mean_of_equal_blocks(values: list[int], data):
    count = len(values)
    blocks = data.draw(st.sampled_from([n for n in range(2, count + 1) if count % n == 0]))
    array = np.array(values, dtype=float)
    contributions = pseudovalues(lambda units: float(array[units].mean()), count, blocks)
    assert contributions == pytest.approx(array.reshape(blocks, -1).mean(axis=1), abs=1e-9)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8), st.floats(0.5, 0.99), st.floats(-10, 10))
def test_a_paired_interval_moves_with_its_values_and_widens_with_its_level(values, level, shift):
    low, high = paired_t(values).interval(level)
    wider = paired_t(values).interval(level + 0.005)
    assert wider[0] <= low <= high <= wider[1]
    moved = paired_t([value + shift for value in values]).interval(level)
    assert moved == pytest.approx((low + shift, high + shift), rel=1e-6, abs=1e-6)
