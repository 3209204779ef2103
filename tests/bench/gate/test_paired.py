"""Paired comparisons of made-up processes."""

import itertools
import math

import numpy as np
import pytest

from bench.gate.paired import Estimator, Task, best, compared, judged, log_times
from bench.gate.paired_text import lines
from bench.results.turns import Group, SideError, Turn
from bench.stats.paired import Rule

RULE = Rule()


def group(random, true=0.0, spread=0.005, cpu=1.0, disturbance=0.0):
    """Two processes of A at 10 ms and two of B, 8 turns each; `disturbance` lengthens elapsed time only."""
    slow = (1.0, 1.0 + true)
    speeds = [[0.01 * factor * math.exp(spread * random.normal()) for _ in range(2)] for factor in slow]
    return Group(
        tuple(tuple(tuple(turn(random, t, cpu, disturbance) for _ in range(8)) for t in twins) for twins in speeds), 0.5
    )


def turn(random, seconds, cpu, disturbance):
    waited = disturbance * random.exponential()
    return Turn((seconds * (1 + waited),) * 3, (cpu * seconds,) * 3)


def groups(true=0.0, seed=0, **how):
    random = np.random.default_rng(seed)
    return (group(random, true, **how) for _ in itertools.count())


def clock():
    """Seconds that pass: one for each time that it is read."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def decided(*tasks, budget=100.0, **how):
    return compared(tasks, RULE, budget, now=clock(), **how)


@pytest.mark.parametrize(
    ("true", "verdict", "code"),
    [(0.0, "pass", 0), (0.08, "regression", 1), (-0.08, "win", 5), (0.03, "inconclusive", 3)],
)
def test_the_verdict_and_its_exit_code(true, verdict, code):
    (result,) = decided(Task("net", "latency", groups(true)), budget=30.0)
    assert (result.verdict, result.exit_code) == (verdict, code)
    assert result.interval[0] < result.ratio < result.interval[1]


def test_more_is_better_turns_the_ratio_round():
    (result,) = decided(Task("net", "images_per_second", groups(-0.1), better="higher"))
    assert result.verdict == "regression"
    assert result.a > result.b


def test_a_side_that_does_not_run_is_broken():
    def failing():
        yield group(np.random.default_rng(0))
        raise SideError("now", "failed: ValueError: oops")

    (result,) = decided(Task("net", "latency", failing()))
    assert (result.verdict, result.exit_code, result.rounds) == ("broken", 4, 1)
    assert "now: failed: ValueError: oops" in result.error


def test_time_goes_to_what_is_undecided_and_nearest_to_a_decision():
    turns = []
    tasks = [
        Task("at the tolerance", "latency", groups(0.03, spread=1e-4)),
        Task("equal", "latency", groups(0.0, spread=1e-4)),
        Task("noisy", "latency", groups(0.0, spread=0.03)),
    ]
    results = decided(*tasks, budget=40.0, notify=lambda each: turns.append(each.name))
    rounds = {each.name: each.rounds for each in results}
    assert rounds["equal"] == RULE.least
    assert turns[: 3 * RULE.least] == [task.name for task in tasks] * RULE.least
    assert rounds["noisy"] > rounds["at the tolerance"]


def test_the_budget_ends_a_comparison_before_its_first_look():
    (result,) = decided(Task("net", "latency", groups()), budget=2.0)
    assert (result.verdict, result.ratio, result.false_alarm_rate) == ("inconclusive", None, None)
    assert "longer --budget" in "\n".join(lines(result))


def test_other_processes_make_cpu_time_the_better_clock():
    random = np.random.default_rng(0)
    busy = [group(random, disturbance=0.3) for _ in range(4)]
    assert best(busy, RULE)[0].clock == "cpu"


def test_cpu_time_says_nothing_of_a_call_that_waits():
    random = np.random.default_rng(0)
    sleeping = [group(random, cpu=0.2, disturbance=0.5) for _ in range(4)]
    assert best(sleeping, RULE)[0].clock == "elapsed"


def test_the_choice_of_the_estimator_does_not_see_the_difference_of_the_sides():
    equal = [group(np.random.default_rng(seed)) for seed in range(4)]
    slower = [
        Group(
            (
                each.turns[0],
                tuple(
                    tuple(Turn(tuple(2 * t for t in turn.elapsed), tuple(2 * t for t in turn.cpu)) for turn in twin)
                    for twin in each.turns[1]
                ),
            ),
            0.5,
        )
        for each in equal
    ]
    assert best(equal, RULE)[0] == best(slower, RULE)[0]


def test_disturbed_turns_are_left_out_where_others_are_enough():
    calm, bad = Turn((1.0,), (1.0,)), Turn((9.0,), (9.0,), disturbed=True)
    mixed = Group((((calm, calm, bad), (calm, calm, bad)), ((calm, calm, bad), (calm, calm, bad))), 1.0)
    assert log_times([mixed], Estimator("elapsed", 0.5)) == pytest.approx(np.zeros((1, 2, 2)))
    only = Group((((bad,), (bad,)), ((bad,), (bad,))), 1.0)
    assert log_times([only], Estimator("elapsed", 0.5)) == pytest.approx(np.full((1, 2, 2), math.log(9)))


def lifelong(place, factor):
    """A group in which one of the processes A, A', B, B' is slow for life."""
    times = [0.01 * factor if each == place else 0.01 for each in range(4)]
    a, a2, b, b2 = ((Turn((seconds,), (seconds,)),) for seconds in times)
    return Group(((a, a2), (b, b2)), 0.5)


@pytest.mark.parametrize("place", range(4))
def test_a_round_with_a_process_that_is_slow_for_life_does_not_count_where_it_is_rare(place):
    usual = list(itertools.islice(groups(spread=0.004), 3))
    result = judged("net", "latency", [*usual, lifelong(place, 1.5)], RULE)
    assert (result.verdict, result.rounds, result.left_out) == ("pass", 4, 1)
    assert "1 round does not count" in "\n".join(lines(result))
    assert judged("net", "latency", [*usual[:2], lifelong(place, 1.5)], RULE).left_out == 0


def test_what_makes_processes_slow_often_counts():
    mixed = [lifelong(2, 1.5), *itertools.islice(groups(spread=0.004), 2)] * 3
    result = judged("net", "latency", mixed, RULE)
    assert (result.left_out, result.verdict) == (0, "inconclusive")
    assert result.ratio == pytest.approx(1.5 ** (1 / 6), rel=0.01)  # one of two processes, in one of three rounds


def test_the_words_say_the_verdict_the_noise_and_what_would_decide():
    random = np.random.default_rng(0)
    text = "\n".join(lines(judged("net", "latency", [group(random, 0.02, spread=0.02) for _ in range(3)], RULE)))
    assert text.startswith("inconclusive")
    assert "false alarms" in text
    assert "more rounds would decide" in text


@pytest.mark.parametrize(("rounds", "words"), [(0, "0 rounds"), (1, "1 round,"), (2, "2 rounds,")])
def test_before_the_first_look_the_words_ask_for_time(rounds, words):
    text = "\n".join(lines(judged("net", "latency", [group(np.random.default_rng(0), 0.0)] * rounds, RULE)))
    assert f"the time was up after {words}" in text
    assert "give a longer --budget" in text


class Spending:
    """A clock that groups advance: each takes so many seconds."""

    def __init__(self):
        self.seconds = 0.0

    def groups(self, cost, true, spread, seed):
        for each in groups(true, seed, spread=spread):
            self.seconds += cost
            yield each


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("costs", [(1.0, 1.0, 1.0), (5.0, 0.5, 2.0), (0.5, 4.0, 9.0)])
def test_the_budget_goes_to_what_is_unclear_and_is_exceeded_by_no_more_than_a_round(seed, costs):
    clock, budget = Spending(), 60.0
    cases = {"slower": (0.2, 0.003), "equal": (0.0, 0.003), "unclear": (0.025, 0.04)}
    tasks = [
        Task(name, "latency", clock.groups(cost, *case, seed))
        for cost, (name, case) in zip(costs, cases.items(), strict=True)
    ]
    results = {each.name: each for each in compared(tasks, RULE, budget, now=lambda: clock.seconds)}
    assert (results["slower"].verdict, results["equal"].verdict) == ("regression", "pass")
    assert results["slower"].rounds == results["equal"].rounds == RULE.least
    left = budget - RULE.least * (costs[0] + costs[1])
    assert results["unclear"].rounds == math.ceil(left / costs[2])
    assert budget <= clock.seconds < budget + max(costs)


def test_nothing_is_spent_once_all_is_clear():
    clock = Spending()
    tasks = [Task(str(n), "latency", clock.groups(1.0, true, 0.003, n)) for n, true in enumerate((0.0, 0.2, -0.2))]
    results = compared(tasks, RULE, 1e6, now=lambda: clock.seconds)
    assert [each.verdict for each in results] == ["pass", "regression", "win"]
    assert clock.seconds <= 5 * len(tasks)


def test_of_two_unclear_ones_the_one_nearer_to_a_decision_comes_first():
    clock = Spending()
    tasks = [
        Task(name, "latency", clock.groups(1.0, 0.0, spread, 1)) for name, spread in (("near", 0.02), ("far", 0.2))
    ]
    near, far = compared(tasks, RULE, 40.0, now=lambda: clock.seconds)
    assert near.verdict == "pass"
    assert far.rounds == 40 - near.rounds > near.rounds
