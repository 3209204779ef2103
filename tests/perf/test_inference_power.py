"""How often verdicts are wrong, how often they find a difference, and what they decide on the committed results.

Tables of V variants and S seeds are drawn with a known truth. Printed: false verdicts (family-wise), the coverage of 95 %
intervals, and the power at differences of .05 and .10 where seeds have a standard deviation of .014, for three methods:
moderated variances (ours), paired t tests of each pair alone, both with Holm's correction, and "the larger mean wins".
INFERENCE_TABLES sets how many tables of each.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import bench
from bench.analysis.contrast import Contrast
from bench.analysis.summary import Summary, summarise
from bench.results.bundle import is_bundle
from bench.stats.inference import Student, error_probability, holm, leaves_out_zero
from bench.stats.moderation import moderated, source_of_means

TABLES = int(os.environ.get("INFERENCE_TABLES", "1500"))
SD = 0.014
BUNDLES = Path(bench.__file__).parents[1] / "results" / "reference"

Table = np.ndarray


def ours(values: Table) -> dict[int, bool]:
    spreads = moderated(dict(enumerate(values.tolist()))).groups
    sources = [source_of_means([(1.0, spreads[i]), (-1.0, spreads[0])]) for i in range(1, len(values))]
    changes = values[1:].mean(axis=1) - values[0].mean()
    p = {
        i: 2 * float(stats.t.sf(abs(d) / s.error, s.freedom))
        for i, (d, s) in enumerate(zip(changes, sources, strict=True), 1)
    }
    return {i: rejected for i, (rejected, _) in holm(p).items()}


def pairs_alone(values: Table) -> dict[int, bool]:
    p = dict(enumerate(stats.ttest_1samp(values[1:] - values[0], 0, axis=1).pvalue, 1))
    return {i: rejected for i, (rejected, _) in holm(p).items()}


def larger_mean(values: Table) -> dict[int, bool]:
    return dict(enumerate(values[1:].mean(axis=1) != values[0].mean(), 1))


METHODS = {"moderated, Holm": ours, "paired t, Holm": pairs_alone, "larger mean wins": larger_mean}


def tables(variants: int, seeds: int, log_sd: float, difference: float):
    random = np.random.default_rng([variants, seeds, int(100 * log_sd), int(1000 * difference)])
    for _ in range(TABLES):
        spreads = SD * np.exp(log_sd * random.normal(size=(variants, 1)))
        values = spreads * random.normal(size=(variants, seeds))
        values[-1] += difference
        yield values


@pytest.mark.parametrize(("variants", "seeds"), [(6, 3), (11, 3), (6, 5), (11, 5)])
def test_false_verdicts_and_power(variants: int, seeds: int) -> None:
    for name, method in METHODS.items():
        equal, unequal = (
            np.mean([any(method(values).values()) for values in tables(variants, seeds, log_sd, 0)])
            for log_sd in (0, 0.5)
        )
        small, large = (
            np.mean([method(values)[variants - 1] for values in tables(variants, seeds, 0, difference)])
            for difference in (0.05, 0.1)
        )
        print(
            f"\n{seeds} seeds, {variants - 1} comparisons, {name}: false verdicts {100 * equal:.1f} %, "
            f"{100 * unequal:.1f} % where spreads differ (log sd .5); power {100 * small:.0f} / {100 * large:.0f} %",
            end="",
        )
        if name == "moderated, Holm":
            slack = 3 * np.sqrt(0.05 * 0.95 / TABLES)
            assert equal <= 0.05
            assert unequal <= 0.05 + slack
            assert small > 0.6
            assert large > 0.95


def of_seeds_alone(contrast: Contrast) -> float:
    """The p-value without the noise of images."""
    assert isinstance(contrast.estimate, Student)
    return error_probability(Student(contrast.estimate.value, contrast.estimate.sources[:1]), leaves_out_zero)


def decided(summary: Summary, metric: str) -> tuple[int, int, int, int]:
    """Differences of a metric; decided by pairs alone, by moderated variances of seeds alone, and as the table does."""
    deltas = {v: d for (v, m), d in summary.deltas.items() if m == metric and d.contrast and d.interval}
    base = summary.aggregates[summary.results.baseline, metric].seeded
    before = {}
    for variant in deltas:
        seeded = summary.aggregates[variant, metric].seeded
        changes = [seeded[seed] - base[seed] for seed in base if seed in seeded]
        spread = float(np.std(changes, ddof=1))
        before[variant] = float(stats.ttest_1samp(changes, 0).pvalue) if spread else float(not any(changes))
    after = {variant: of_seeds_alone(delta.contrast) for variant, delta in deltas.items() if delta.contrast}
    now = sum(delta.verdict in ("better", "worse", "changed") for delta in deltas.values())
    return len(deltas), *(sum(yes for yes, _ in holm(p).values()) for p in (before, after)), now


@pytest.mark.skipif(not BUNDLES.is_dir(), reason="the committed results are part of a checkout")
def test_decided_differences_of_the_committed_results() -> None:
    total = np.zeros(4, dtype=int)
    for folder in sorted(BUNDLES.iterdir()):
        if not is_bundle(folder):
            continue
        summary = summarise(bench.load(folder.name, source=folder).results)
        scores = [column.metric for column in summary.columns if column.kind == "accuracy"]
        counts = {metric: decided(summary, metric) for metric in scores}
        total += np.sum([*counts.values(), (0, 0, 0, 0)], axis=0)
        main = summary.main()
        if main is not None and main.metric in counts:
            of, before, after, now = counts[main.metric]
            print(
                f"\n{folder.name}, {main.name}: {before} of {of} decided before, {after} now, {now} with images", end=""
            )
    print(
        f"\nall scores: of {total[0]}, {total[1]} decided before, {total[2]} now, {total[3]} with the noise of images"
    )
    assert total[2] >= total[1]
