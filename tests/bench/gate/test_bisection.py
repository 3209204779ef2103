"""The search for a commit, with made-up commits."""

import contextlib
import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from bench.gate.bisection import Change, How, Search, Step
from bench.gate.bisection_text import lines
from bench.registry import Metric, RegistryError
from bench.results.measurement import Measurement
from bench.results.turns import Group, SideError, Turn
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.stats.paired import Rule

WORK = Workload("", "", (), (3, 8, 8), 1)


def metric(name, kind, better="lower"):
    return Metric(name, lambda: None, "", (), "", better, kind)


@dataclass(frozen=True)
class Network:
    code: str
    time: float = 1.0
    static: tuple = ()
    broken: str = ""


def valued(value, name="net", code=None, of="macs", better="lower"):
    m = Measurement("k", Variant(name, ()), WORK, of, "", better, (value,), True, None, 0.0, {}, None, {})
    return Network(code or f"{value}", static=(m,))


@dataclass
class Made:
    """Commits a, b, c, ... with these networks: of one variant, or by name; a text is an error."""

    states: list
    spread: float = 0.003
    looked: list = field(default_factory=list)
    timed: list = field(default_factory=list)

    def networks(self, commit):
        self.looked.append(commit)
        state = self.states[ord(commit) - ord("a")]
        if isinstance(state, str):
            raise RegistryError(state)
        return state if isinstance(state, dict) else {"net": state}

    def groups(self, before, after):
        self.timed.append(after[0])
        random = np.random.default_rng(len(self.timed))
        while True:
            if "crash" in after[1].code:
                raise SideError(after[0], "it crashes")
            yield group(random, [before[1].time, after[1].time], self.spread)


def group(random, times, spread):
    draw = [[time * math.exp(spread * random.normal()) for _ in range(2)] for time in times]
    return Group(tuple(tuple((Turn((t,), (t,)),) for t in twins) for twins in draw), 0.5)


def search(states, kind="static", budget=1000.0, spread=0.003, **how):
    """(outcome, what was asked) of commits a (GOOD), b, c, ... (the last is BAD)."""
    made, ticks, events = Made(states, spread), itertools.count(), []
    names = [chr(ord("a") + place) for place in range(len(states))]
    asked = How(
        metric("macs" if kind == "static" else "latency", kind, **how),
        Rule(most=6),
        budget,
        lambda: float(next(ticks)),
    )
    outcome = Search("a", names[1:], made, asked, events.append).run()
    assert [event for event in events if isinstance(event, Step)] == list(outcome.steps)
    return outcome, made


@pytest.mark.parametrize("first", range(1, 9))
def test_a_deterministic_change_is_found_by_value(first):
    outcome, made = search([valued(100 if place < first else 120) for place in range(9)])
    assert (outcome.verdict, outcome.exit_code, outcome.sure) == ("found", 0, 1.0)
    assert outcome.candidates == ("abcdefghi"[first],)
    assert outcome.before == "abcdefghi"[first - 1]
    assert (outcome.own.verdict, outcome.own.ratio) == ("regression", 1.2)
    assert not made.timed


def test_a_change_the_other_way_is_not_the_change():
    outcome, _ = search([valued(v) for v in (100, 80, 80, 120, 120)])
    assert outcome.candidates == ("d",)
    assert outcome.own.ratio == 1.5


@pytest.mark.parametrize(("values", "verdict"), [((100, 100, 90, 90), "win"), ((1, 1, 2, 2), "changed")])
def test_wins_and_values_without_a_better_one_are_found_too(values, verdict):
    better = "lower" if verdict == "win" else None
    outcome, _ = search([valued(v, better=better) for v in values])
    assert (outcome.candidates, outcome.own.verdict) == (("c",), verdict)


def test_good_and_bad_that_do_not_differ_end_the_search():
    outcome, made = search([valued(100), valued(120), valued(100, code="other")])
    assert (outcome.verdict, outcome.exit_code) == ("no change", 1)
    assert made.looked == ["c", "a"]
    assert "do not differ in macs" in next(lines(outcome, str, str))


def test_commits_that_do_not_run_are_skipped():
    broken = Network("x", broken="failed: oops")
    outcome, _ = search([valued(100), valued(100, code="b"), "no such file", broken, valued(120)])
    assert (outcome.verdict, outcome.exit_code, outcome.sure) == ("several", 3, 1.0)
    assert outcome.candidates == ("c", "d", "e")
    assert {(s.commit, s.text) for s in outcome.steps if s.verdict == "skipped"} == {
        ("c", "no such file"),
        ("d", "failed: oops"),
    }


def test_a_skipped_commit_that_is_not_next_to_the_change_costs_nothing():
    outcome, _ = search([valued(1), valued(1), "broken", valued(1), valued(2), valued(2)])
    assert (outcome.verdict, outcome.candidates) == ("found", ("e",))


def test_bad_or_good_that_does_not_run_is_said():
    outcome, _ = search([Network("x", broken="failed: oops"), valued(1), valued(2)])
    assert (outcome.verdict, outcome.exit_code) == ("broken", 4)
    assert "failed: oops" in "".join(lines(outcome, str, str))
    outcome, _ = search(["no such file", valued(1), valued(2)])
    assert (outcome.verdict, outcome.whole.text) == ("broken", "a: no such file")
    with pytest.raises(RegistryError, match="no such file"):
        search([valued(1), "no such file"])


def timed(*times):
    """Networks with these times; the same time is another code."""
    return [Network(f"code {place}", time) for place, time in enumerate(times)]


@pytest.mark.parametrize("first", [1, 3, 6, 8])
def test_a_slowdown_is_found_with_its_interval(first):
    outcome, _ = search(timed(*[1.0] * first, *[1.1] * (9 - first)), "speed")
    assert (outcome.verdict, outcome.candidates) == ("found", ("abcdefghi"[first],))
    assert 0.95 <= outcome.sure < 1
    assert outcome.own.verdict == "regression"
    assert outcome.own.interval[0] < 1.1 < outcome.own.interval[1]


def test_a_win_is_found_as_well():
    outcome, _ = search(timed(1, 1, 1, 0.9, 0.9, 0.9), "speed")
    assert (outcome.candidates, outcome.own.verdict) == (("d",), "win")


def test_a_commit_with_the_code_of_one_that_was_judged_is_not_timed():
    states = timed(*[1.0] * 4, *[1.1] * 4)
    states[3] = Network(states[0].code, 1.0)
    states[5] = states[6] = Network(states[7].code, 1.1)
    outcome, made = search(states, "speed")
    assert outcome.candidates == ("e",)
    assert not {"d", "f", "g"} & set(made.timed)
    assert any("the same code as a" in step.text for step in outcome.steps)


def test_a_commit_that_crashes_when_it_is_timed_is_skipped():
    states = timed(*[1.0] * 4, *[1.1] * 4)
    states[4] = Network("crash")
    outcome, _ = search(states, "speed")
    assert (outcome.verdict, outcome.candidates) == ("several", ("e", "f"))


def test_an_inconclusive_commit_gets_its_time_twice_and_counts_by_its_probability():
    """A commit at the tolerance tells next to nothing, so that others are asked."""
    outcome, made = search(timed(1, 1, 1.03, 1.3, 1.3), "speed", spread=0.02)
    step = next(step for step in outcome.steps if step.commit == "c")
    assert step.verdict == "inconclusive"
    assert 0.05 < step.probability < 0.95
    assert made.timed.count("c") == 1
    assert (outcome.verdict, outcome.exit_code) == ("inconclusive", 3)
    assert {*outcome.candidates, *(commit for commit, _ in outcome.others)} == {"c", "d"}
    assert outcome.sure + sum(probability for _, probability in outcome.others) > 0.95


def test_the_end_of_the_budget_leaves_the_probabilities():
    outcome, _ = search(timed(*[1.0] * 20, *[1.1] * 5), "speed", budget=14.0)
    assert (outcome.verdict, outcome.exit_code) == ("inconclusive", 3)
    assert outcome.sure < 0.95
    assert "longer --budget" in "\n".join(lines(outcome, str, str))


def test_noise_that_hides_the_change_is_said_before_the_search():
    outcome, made = search(timed(1, 1, 1.02), "speed", spread=0.5, budget=30.0)
    assert (outcome.verdict, outcome.exit_code) == ("inconclusive", 3)
    assert set(made.timed) == {"c"}
    assert outcome.whole.interval is not None


def test_small_steps_that_add_up_are_not_blamed_on_the_last_of_them():
    outcome, _ = search(timed(1, 1.02, 1.045, 1.07, 1.07), "speed", spread=1e-4)
    assert (outcome.candidates, outcome.own.verdict) == (("c",), "pass")
    assert "by itself it is within the tolerance" in "\n".join(lines(outcome, str, str))


def test_a_further_change_after_the_first_is_said():
    outcome, _ = search([valued(v) for v in (100, 120, 120, 300)])
    assert outcome.candidates == ("b",)
    assert "other commits have a change too: bench bisect b d" in "\n".join(lines(outcome, str, str))
    alone, _ = search([valued(v) for v in (100, 120, 120, 120)])
    assert "other commits" not in "\n".join(lines(alone, str, str))


def test_of_an_ablation_the_variant_that_changed_most_is_followed():
    def both(one, two):
        return {"one": valued(one, "one"), "two": valued(two, "two")}

    outcome, _ = search([both(10, 10), both(11, 10), both(11, 30)])
    assert (outcome.variant, outcome.candidates) == ("two", ("c",))


def test_a_single_network_is_followed_through_other_names_of_its_axes():
    states = [{"net(a=1)": valued(1, "net(a=1)")}, {"net(b=1)": valued(2, "net(b=1)")}]
    outcome, _ = search(states)
    assert (outcome.verdict, outcome.candidates) == ("found", ("b",))
    with pytest.raises(RegistryError, match="no variant is in both"):
        search([{"a": valued(1), "b": valued(1)}, {"c": valued(2), "d": valued(2)}])


def test_sources_are_closed_so_that_no_worktree_is_left():
    closed = []

    class Closing(Made):
        def groups(self, before, after):
            with contextlib.closing(_Note(closed)):
                yield from super().groups(before, after)

    made, ticks = Closing(timed(1, 1.2)), itertools.count()
    Search("a", ["b"], made, How(metric("latency", "speed"), Rule(), 100.0, lambda: float(next(ticks)))).run()
    assert len(closed) == len(made.timed) > 0


class _Note:
    def __init__(self, notes):
        self.notes = notes

    def close(self):
        self.notes.append(1)


def test_the_change_is_worse_where_more_is_better_and_it_is_less():
    change = Change("regression", "")
    assert (change.worse, change.better) == (0.0, 0.0)
    outcome, _ = search([valued(9, better="higher"), valued(5, better="higher")])
    assert outcome.whole.verdict == "regression"
