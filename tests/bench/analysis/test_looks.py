"""Adaptive seeds on tables with a known truth: the same rule as for fixed seeds, few false verdicts, fewer seeds."""

import numpy as np
import pytest
from drawn_tables import drawn, is_different, looks_of, verdicts

from bench.analysis.looks import Ending
from bench.stats.inference import LEVEL

SIZES = (3, 5, 8, 10)
TABLES = 120


def test_a_single_look_is_the_rule_of_fixed_seeds():
    values = drawn([0.5, 0.5, 0.53, 0.7], 0.02, 10, np.random.default_rng(1))
    looks = looks_of(values, (10,))
    levels = [delta.level for delta in looks.table.values()]
    assert max(levels) == pytest.approx(1 - (1 - LEVEL) / 3)
    assert (looks.taken, looks.waits) == (1, False)
    assert {e.look.size for e in looks.endings} == {10}


def test_no_false_verdict_in_95_of_100_tables_without_differences():
    false = 0
    for seed in range(TABLES):
        values = drawn([0.5] * 4, 0.05, 10, np.random.default_rng(seed))
        false += any(map(is_different, verdicts(looks_of(values, SIZES))))
    assert false / TABLES <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / TABLES)


def test_looks_without_a_correction_would_err_more_often():
    """What the levels are for: the same tables, each look tested as if it were the only one."""
    false = 0
    for seed in range(TABLES):
        values = drawn([0.5] * 4, 0.05, 10, np.random.default_rng(seed))
        single = [verdicts(looks_of(values[:, :size], (size,))) for size in SIZES]
        false += any(is_different(verdict) for row in single for verdict in row)
    assert false / TABLES > 0.07


def test_the_same_verdicts_as_fixed_seeds_from_fewer_training_runs():
    spent = agreed = of = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        values = drawn([0.4, *(0.4 + random.choice([0.0, 0.03, 0.1, 0.2, 0.4], 4))], 0.02, 10, random)
        looks, fixed = looks_of(values, SIZES), verdicts(looks_of(values, (10,)))
        spent += sum(looks.counts.values())
        agreed += sum(map(str.__eq__, verdicts(looks), fixed))
        of += len(fixed)
    assert spent / (60 * 50) < 0.75
    assert agreed / of > 0.95


def test_a_decided_variant_keeps_its_seeds_and_the_others_go_on():
    values = drawn([0.4, 0.4, 0.95], 0.01, 10, np.random.default_rng(3))
    values[1] = values[0] + np.tile([0.02, -0.01], 5)
    looks = looks_of(values, SIZES)
    assert list(looks.counts.values()) == [10, 10, 3]
    verdict = {ending.variants[0]: (ending.verdict, ending.look.size) for ending in looks.endings}
    assert verdict == {"net(a=1)": ("inconclusive", 10), "net(a=2)": ("better", 3)}
    assert all(isinstance(ending, Ending) for ending in looks.of("net(a=0)"))


def test_equal_variants_of_little_spread_become_equivalent_before_the_last_look():
    looks = looks_of(drawn([0.5, 0.5, 0.5], 0.003, 10, np.random.default_rng(5)), SIZES)
    assert verdicts(looks) == ["equivalent", "equivalent"]
    assert max(looks.counts.values()) < 10
    no_margin = looks_of(drawn([0.5, 0.5, 0.5], 0.003, 10, np.random.default_rng(5)), SIZES, unit="nats")
    assert set(no_margin.counts.values()) == {10}
