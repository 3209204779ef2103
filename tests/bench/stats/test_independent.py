"""Every statistic agrees with an independent computation: of scipy, statsmodels, numpy or ruptures.

Each entry of AGREE computes a number twice, by ours and by another library. What has no counterpart is named in OWN with
the test that checks it by its definition or by simulation; a public function in neither makes a test fail.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special, stats

import bench.stats
from bench.stats import changes, descriptive, inference, moderation, paired, ranks, sequential

weightstats = pytest.importorskip("statsmodels.stats.weightstats")
power = pytest.importorskip("statsmodels.stats.power")
multitest = pytest.importorskip("statsmodels.stats.multitest")
stattools = pytest.importorskip("statsmodels.tsa.stattools")
smf = pytest.importorskip("statsmodels.formula.api")

RANDOM = np.random.default_rng(15)
VALUES = RANDOM.normal(0.4, 1.0, 11).tolist()
OTHERS = (np.array(VALUES) + RANDOM.normal(0.3, 0.4, 11)).tolist()
CLOSE = (0.004 + 0.01 * RANDOM.normal(size=9)).tolist()
P_VALUES = dict(enumerate([0.001, 0.04, 0.012, 0.5, 0.009, 0.2]))
GROUPS = {i: (0.5 + scale * RANDOM.normal(size=4)).tolist() for i, scale in enumerate([0.5, 2.0, 1.0, 0.8, 1.3, 3.0])}
POINTS = dict(enumerate(RANDOM.integers(0, 6, (25, 3)).tolist()))
LOGS = 0.01 * RANDOM.normal(size=(8, 2, 2)) + np.array([0.0, 0.05])[:, None]
STEP = np.concatenate([RANDOM.normal(0, 1, 15), RANDOM.normal(6, 1, 12), RANDOM.normal(1, 1, 14)])

Pair = Callable[[], tuple[Any, Any]]


def of_paired_differences() -> tuple[Any, Any]:
    mine = descriptive.paired_difference(dict(enumerate(OTHERS)), dict(enumerate(VALUES)))
    assert mine is not None
    assert mine.spread is not None
    theirs = stats.ttest_rel(OTHERS, VALUES)
    return (mine.value / (mine.spread / mine.pairs**0.5), mine.pairs - 1), (theirs.statistic, theirs.df)


def of_difference() -> tuple[Any, Any]:
    import pandas as pd

    mine, series = descriptive.difference(3.0, 2.5), pd.Series([2.5, 3.0])
    return (mine.value, mine.relative), (series.diff().iloc[1], series.pct_change().iloc[1])


def of_median_intervals() -> tuple[Any, Any]:
    intervals = [descriptive.median_interval(VALUES[:count]) for count in (6, 8, 11)]
    return intervals, [_by_sign_test(VALUES[:count]) for count in (6, 8, 11)]


def _by_sign_test(values: list[float]) -> tuple[float, float]:
    """The outermost values that the exact sign test does not reject as the median."""
    ordered = np.sort(values)
    middles = [*(ordered[1:] + ordered[:-1]) / 2]
    accepted = [m for m in middles if stats.binomtest(int(np.sum(ordered < m)), len(values)).pvalue > 0.05]
    return float(ordered[ordered < accepted[0]][-1]), float(ordered[ordered > accepted[-1]][0])


def of_error_probabilities() -> tuple[Any, Any]:
    mine = inference.error_probability(inference.paired_t(VALUES), inference.leaves_out_zero)
    return mine, stats.ttest_1samp(VALUES, 0).pvalue


def of_holm() -> tuple[Any, Any]:
    mine = [rejected for rejected, _ in inference.holm(P_VALUES).values()]
    return mine, multitest.multipletests(list(P_VALUES.values()), 0.05, "holm")[0].tolist()


def of_least_effects() -> tuple[Any, Any]:
    """At the least effect of two variants Student's test has exactly 5 %."""
    effects = [inference.least_effect(seeds) for seeds in (2, 3, 5)]
    tests = [stats.ttest_ind_from_stats(d, 1, n, 0, 1, n) for d, n in zip(effects, (2, 3, 5), strict=True)]
    return [test.pvalue for test in tests], [0.05] * 3


def of_detectable() -> tuple[Any, Any]:
    """Found at a significance of 5 %, in the direction that is true."""
    solver = power.TTestIndPower()
    detected = [solver.power(inference.detectable(n), n, 0.025, alternative="larger") for n in (3, 5, 20)]
    return detected, [0.8] * 3


def of_seeds() -> tuple[Any, Any]:
    """Two variants with a spread of 1 and a difference of 1.5, from 3 seeds each."""
    estimate = inference.Student(1.5, (inference.Source((2 / 3) ** 0.5, 4),))
    p_values = {n: stats.ttest_ind_from_stats(1.5, 1, n, 0, 1, n).pvalue for n in range(2, 30)}
    return inference.seeds_to_decide(estimate, 3), next(n for n, p in p_values.items() if p < 0.05)


def of_bootstraps() -> tuple[Any, Any]:
    values = np.array(VALUES) + 3
    mine = inference.bootstrap(lambda chosen: float(values[chosen].mean()), len(values), draws=4000)
    return mine, _scipy_bootstrap(values)


def of_bootstraps_of_means() -> tuple[Any, Any]:
    values = np.array(VALUES) + 3
    return inference.bootstrap_of_mean(values, draws=4000), _scipy_bootstrap(values)


def _scipy_bootstrap(values: np.ndarray) -> tuple[float, float]:
    result = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, random_state=1)
    return tuple(result.confidence_interval)


def of_pseudovalues() -> tuple[Any, Any]:
    """Of a ratio of sums: their spread is that of the linear approximation (delta method)."""
    x, y = RANDOM.uniform(1, 2, 400), RANDOM.uniform(2, 3, 400)
    mine = inference.pseudovalues(lambda chosen: float(x[chosen].sum() / y[chosen].sum()), 400, blocks=400)
    assert mine is not None
    ratio = x.mean() / y.mean()
    return (mine.mean(), stats.sem(mine)), (ratio, stats.sem((x - ratio * y) / y.mean()))


def of_evaluation_noise() -> tuple[Any, Any]:
    """Of one run whose blocks do not correlate: the standard error of the mean of its blocks."""
    blocks = np.array([[0.3, 0.5, 0.9, 0.1, 0.4, 0.45, 0.2, 0.8]])
    assert inference.neighbour_correlation(blocks[0]) <= 0
    return inference.evaluation_source([(1.0, blocks)]).error, stats.sem(blocks[0])


def of_correlations() -> tuple[Any, Any]:
    return inference.neighbour_correlation(np.array(VALUES)) - 1 / len(VALUES), stattools.acf(VALUES, nlags=1)[1]


def of_fronts() -> tuple[Any, Any]:
    turned = np.array(list(POINTS.values())) * np.array([1, -1, 1])
    at_least, more = (op(turned[:, None], turned[None]) for op in (np.greater_equal, np.greater))
    dominated = (at_least.all(axis=2) & more.any(axis=2)).any(axis=0)
    return inference.pareto(POINTS, ("higher", "lower", "higher")), tuple(np.flatnonzero(~dominated).tolist())


def of_pooled() -> tuple[Any, Any]:
    """The residual variance of a one-way analysis of variance, with its degrees of freedom."""
    groups = {key: values[: 2 + key % 3] for key, values in GROUPS.items()}
    mine, model = moderation.pooled(groups.values()), smf.ols("y ~ C(g)", _frame(groups)).fit()
    assert mine is not None
    return (mine.variance, mine.freedom), (model.mse_resid, model.df_resid)


def of_moderated() -> tuple[Any, Any]:
    """The degrees of freedom of the average solve Smyth's equation, by another solver; pooled by bartlett's variance."""
    spreads = moderation.moderated(GROUPS)
    logs = [np.log(np.var(values, ddof=1)) - special.digamma(1.5) + np.log(1.5) for values in GROUPS.values()]
    excess = np.var(logs, ddof=1) - special.polygamma(1, 1.5)
    theirs = 2 * optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-3, 1e3)
    assert not spreads.different
    pooled = smf.ols("y ~ C(g)", _frame(GROUPS)).fit().mse_resid
    return (spreads.weight, spreads.common), (theirs, pooled)


def _frame(groups: dict[int, list[float]]) -> Any:
    import pandas as pd

    return pd.DataFrame([{"g": key, "y": value} for key, values in groups.items() for value in values])


def of_means() -> tuple[Any, Any]:
    """Two groups that borrow nothing: Welch's test."""
    spreads = moderation.moderated({key: GROUPS[key] for key in (0, 1)}).groups
    source = moderation.source_of_means([(1.0, spreads[1]), (-1.0, spreads[0])])
    theirs = stats.ttest_ind(GROUPS[1], GROUPS[0], equal_var=False)
    value = np.mean(GROUPS[1]) - np.mean(GROUPS[0])
    return (value / source.error, source.freedom), (theirs.statistic, theirs.df)


def of_contrasts() -> tuple[Any, Any]:
    """Their mean is the effect of the side in a linear model of the log times with an effect of each group."""
    import pandas as pd

    rows = [{"g": g, "s": s, "y": y} for (g, s, _), y in np.ndenumerate(LOGS)]
    return paired.contrasts(LOGS).mean(), smf.ols("y ~ C(g) + C(s)", pd.DataFrame(rows)).fit().params["C(s)[T.1]"]


def of_nulls() -> tuple[Any, Any]:
    """Half their mean square is the variance of the two processes of a side: the residual of a model of all sides."""
    groups = {number: side.tolist() for number, side in enumerate(LOGS.reshape(-1, 2))}
    mean_square = smf.ols("y ~ C(g)", _frame(groups)).fit().mse_resid
    return (np.mean(paired.nulls(LOGS) ** 2) / 2, paired.null_spread(LOGS)), (mean_square, mean_square**0.5)


def of_alike() -> tuple[Any, Any]:
    """The usual difference of twins is their median distance from zero."""
    logs = np.concatenate([LOGS, LOGS[:1]])
    logs[-1, 0, 1] += 10.0
    usual = stats.median_abs_deviation(np.append(paired.nulls(logs), -paired.nulls(logs)), center=np.mean)
    theirs = [np.abs(each).max() <= max(6 * usual, math.log(1.03)) for each in paired.nulls(logs)]
    return paired.alike(logs, paired.Rule()).tolist(), theirs


def of_noise() -> tuple[Any, Any]:
    """Contrasts and scaled nulls have one variance, pooled; the mean of nulls is zero."""
    scaled = paired.nulls(LOGS).ravel() / 2**0.5
    squares = 7 * stats.tvar(paired.contrasts(LOGS)) + stats.moment(scaled, 2, center=0) * 16
    mine = paired.noise(LOGS)
    return (mine.error, mine.freedom), ((squares / 23 / 8) ** 0.5, 23)


def of_intervals_of_ratios() -> tuple[Any, Any]:
    rule, noise = paired.Rule(), paired.noise(LOGS)
    level = 1 - 2 * rule.error_at(len(LOGS))
    theirs = stats.t.interval(level, noise.freedom, paired.contrasts(LOGS).mean(), noise.error)
    return paired.interval(LOGS, rule), theirs


def of_beyond() -> tuple[Any, Any]:
    rule, noise = paired.Rule(), paired.noise(LOGS)
    posterior = stats.t(noise.freedom, paired.contrasts(LOGS).mean(), noise.error)
    return paired.beyond(LOGS, rule), (posterior.sf(rule.bound), posterior.cdf(-rule.bound))


def of_looks() -> tuple[Any, Any]:
    """The probability that none of two looks crosses its boundary, from the bivariate normal distribution."""
    first, second = stats.norm.isf(np.array(sequential.nominal_levels((2, 5), 0.05)) / 2)
    joint = stats.multivariate_normal(cov=[[1, (2 / 5) ** 0.5], [(2 / 5) ** 0.5, 1]])
    return 0.95, joint.cdf([first, second], lower_limit=[-first, -second])


def of_changes() -> tuple[Any, Any]:
    ruptures = pytest.importorskip("ruptures")
    theirs = ruptures.Dynp(model="l2", min_size=3, jump=1).fit(STEP[:, None]).predict(n_bkps=2)
    return changes.changes(STEP.tolist()), theirs[:-1]


def of_exact_changes() -> tuple[Any, Any]:
    levels = [1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 3.0]
    return changes.exact_changes(levels), (np.flatnonzero(np.diff(levels)) + 1).tolist()


def of_rank_correlations() -> tuple[Any, Any]:
    """The balance of pairs by somers' d, which is tau without ties."""
    mine = ranks.kendall(VALUES, OTHERS)[0]
    return (mine, ranks.tau_scale(VALUES)), (stats.somersd(VALUES, OTHERS).statistic, special.comb(11, 2))


AGREE: dict[str, Pair] = {
    "mean": lambda: (descriptive.mean(VALUES), np.mean(VALUES)),
    "deviation": lambda: (descriptive.deviation(VALUES), stats.tstd(VALUES)),
    "quantile": lambda: ([descriptive.quantile(VALUES, q) for q in (0, 0.3, 1)], np.quantile(VALUES, [0, 0.3, 1])),
    "median": lambda: (descriptive.median(VALUES), np.median(VALUES)),
    "difference": of_difference,
    "paired_difference": of_paired_differences,
    "median_interval": of_median_intervals,
    "quantile_of_t": lambda: (inference.quantile_of_t(0.9, 3.7), stats.t.ppf(0.95, 3.7)),
    "paired_t": lambda: (
        inference.paired_t(VALUES).interval(0.9),
        stats.ttest_1samp(VALUES, 0).confidence_interval(0.9),
    ),
    "evaluation_source": of_evaluation_noise,
    "neighbour_correlation": of_correlations,
    "pseudovalues": of_pseudovalues,
    "bootstrap": of_bootstraps,
    "bootstrap_of_mean": of_bootstraps_of_means,
    "error_probability": of_error_probabilities,
    "tost": lambda: (
        inference.tost(inference.paired_t(CLOSE), 0.01),
        weightstats.DescrStatsW(CLOSE).ttost_mean(-0.01, 0.01)[0],
    ),
    "holm": of_holm,
    "least_effect": of_least_effects,
    "detectable": of_detectable,
    "seeds_to_decide": of_seeds,
    "pareto": of_fronts,
    "resolution": lambda: (moderation.resolution([3, 1, 8, 3, 4.5]), np.diff(np.unique([3, 1, 8, 3, 4.5])).min()),
    "moderated": of_moderated,
    "pooled": of_pooled,
    "source_of_means": of_means,
    "contrasts": of_contrasts,
    "nulls": of_nulls,
    "null_spread": of_nulls,
    "alike": of_alike,
    "noise": of_noise,
    "interval": of_intervals_of_ratios,
    "beyond": of_beyond,
    "spent": lambda: (sequential.spent(0.05, 0.4), 2 * stats.norm.sf(stats.norm.isf(0.025) / 0.4**0.5)),
    "nominal_levels": of_looks,
    "changes": of_changes,
    "exact_changes": of_exact_changes,
    "kendall": of_rank_correlations,
    "tau_scale": of_rank_correlations,
}

OWN = {
    "leaves_out_zero": "a definition; test_inference.py",
    "has_width": "a definition; test_inference.py",
    "dominates": "a definition; `pareto` above",
    "sum_of_blocks": "a definition; `evaluation_source` above",
    "block_correlation": "`neighbour_correlation` above, less its bias; test_inference.py",
    "common_correlation": "by simulation in test_inference.py",
    "believed": "a definition; `block_correlation` in test_inference.py",
    "widening": "exact covariances in test_inference.py",
    "effective_number": "exact covariances in test_inference.py",
    "effective_images": "exact covariances in test_inference.py",
    "single": "a definition; test_sequential.py",
    "decide": "a definition; test_paired.py",
    "groups_needed": "a rule, by simulation in test_paired.py",
    "calibrated": "by simulation in test_paired.py",
}
LOOSE = {"bootstrap": 0.01, "bootstrap_of_mean": 0.01, "pseudovalues": 0.01, "nominal_levels": 1e-4}
"""Of what is drawn at random, or of an approximation."""


@pytest.mark.parametrize("name", AGREE)
def test_a_statistic_is_that_of_another_library(name: str) -> None:
    mine, theirs = AGREE[name]()
    assert np.asarray(mine, dtype=float) == pytest.approx(np.asarray(theirs, dtype=float), rel=LOOSE.get(name, 1e-7))


def test_every_public_function_is_checked() -> None:
    modules = [
        importlib.import_module(f"bench.stats.{each.name}") for each in pkgutil.iter_modules(bench.stats.__path__)
    ]
    functions = {
        name
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "") == module.__name__
    }
    classes = {name for module in modules for name, value in vars(module).items() if inspect.isclass(value)}
    assert functions - classes == {*AGREE, *OWN}
