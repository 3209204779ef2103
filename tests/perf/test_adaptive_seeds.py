"""Adaptive seeds (3 to 10) beside 10 fixed ones: the same verdicts, training runs spent, and false verdicts.

Tables are drawn as the committed results are: with the differences, in standard deviations over seeds, of the main score
of each bundle, taken as if they were exact. The same scores are judged by both. Without differences, the fraction of
tables with any false verdict is printed. ADAPTIVE_TABLES sets how many tables of each.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.analysis.summary import summarise
from bench.results.bundle import is_bundle
from bench.stats.inference import Student

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from drawn_tables import drawn, is_different, looks_of, verdicts

TABLES = int(os.environ.get("ADAPTIVE_TABLES", "1000"))
SIZES = (3, 5, 8, 10)
MOST = SIZES[-1]
BUNDLES = Path(bench.__file__).parents[1] / "results" / "reference"
SLACK = 3 * np.sqrt(0.05 * 0.95 / TABLES)


def committed() -> list[tuple[list[float], float, str]]:
    """(means of the variants, the median standard deviation over seeds, unit) of the main score of each bundle."""
    tables = []
    for folder in sorted(BUNDLES.iterdir()):
        if not is_bundle(folder):
            continue
        summary = summarise(bench.load(folder.name, source=folder).results)
        main = summary.main()
        deltas = [d for (_, metric), d in summary.deltas.items() if main and metric == main.metric and d.contrast]
        spreads = [spread for delta in deltas if (spread := _spread(delta.contrast))]
        if main and spreads and len(deltas) == len(summary.results.variants) - 1:
            margin = main.better == "higher" and main.unit in ("", "1")
            shifts = [delta.difference.value for delta in deltas]
            tables.append(([0.0, *shifts], float(np.median(spreads)), "1" if margin else "nats"))
    return tables


def _spread(contrast) -> float:
    """Of one seed, from that of the difference of two means."""
    estimate = contrast.estimate
    return estimate.sources[0].error * (contrast.seeds / 2) ** 0.5 if isinstance(estimate, Student) else 0.0


@pytest.mark.skipif(not BUNDLES.is_dir(), reason="the committed results are part of a checkout")
def test_verdicts_and_training_runs_beside_fixed_seeds() -> None:
    tables, pairs, spent, taken = committed(), Counter(), 0, Counter()
    for seed in range(TABLES):
        random = np.random.default_rng([1, seed])
        shifts, spread, unit = tables[random.integers(len(tables))]
        centre = 0.5 - (max(shifts) + min(shifts)) / 2
        values = drawn([centre + shift for shift in shifts], spread, MOST, random)
        looks = looks_of(values, SIZES, unit)
        pairs.update(zip(verdicts(looks_of(values, (MOST,), unit)), verdicts(looks), strict=True))
        spent += sum(looks.counts.values()) / (MOST * len(values))
        taken[looks.taken] += 1
    total = pairs.total()
    agreed = sum(count for (one, other), count in pairs.items() if one == other) / total
    turned = sum(pairs[pair] for pair in (("better", "worse"), ("worse", "better")))
    lost = sum(count for (one, other), count in pairs.items() if other == "inconclusive" != one) / total
    print(
        f"\n{TABLES} tables as {len(tables)} committed ones, {total} comparisons: {100 * agreed:.1f} % have the verdict "
        f"of {MOST} fixed seeds ({100 * lost:.1f} % are inconclusive instead, {turned} are the opposite), with "
        f"{100 * spent / TABLES:.0f} % of the training runs; looks taken: {dict(sorted(taken.items()))}; "
        f"others (fixed, adaptive): { ({pair: n for pair, n in pairs.items() if pair[0] != pair[1]}) }",
        end="",
    )
    assert agreed > 0.95
    assert turned == 0
    assert spent / TABLES <= 0.6


@pytest.mark.parametrize("variants", [2, 6, 11])
def test_false_verdicts(variants: int) -> None:
    false = {"adaptive": 0, "fixed": 0, "every look as the only one": 0}
    for seed in range(TABLES):
        values = drawn([0.5] * variants, 0.05, MOST, np.random.default_rng([2, variants, seed]))
        false["adaptive"] += any(map(is_different, verdicts(looks_of(values, SIZES))))
        false["fixed"] += any(map(is_different, verdicts(looks_of(values, (MOST,)))))
        single = [verdicts(looks_of(values[:, :size], (size,))) for size in SIZES]
        false["every look as the only one"] += any(is_different(v) for row in single for v in row)
    rates = ", ".join(f"{name} {100 * count / TABLES:.1f} %" for name, count in false.items())
    print(f"\n{variants - 1} comparisons without a difference, tables with a false verdict: {rates}", end="")
    assert false["adaptive"] / TABLES <= 0.05 + SLACK
