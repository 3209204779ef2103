"""Two revisions of made-up variants."""

from dataclasses import dataclass

import pytest

from bench.gate.against import Against, by_code, checks_of, for_each, matched, to_time, untimed
from bench.gate.paired import Comparison
from bench.gate.summary import lines
from bench.results.measurement import Measurement
from bench.spec.variant import Variant
from bench.spec.workload import Workload

WORK = Workload("", "", (), (3, 8, 8), 1)


def macs(value, error=None, better="lower", metric="macs", variant="net", **detail):
    return Measurement(
        "k",
        Variant(variant, ()),
        WORK,
        metric,
        "",
        better,
        () if error else (value,),
        True,
        None,
        0.0,
        {},
        error,
        detail,
    )


@dataclass(frozen=True)
class Network:
    code: str = "1"
    static: tuple = (macs(100),)
    graph: str = "g"

    @property
    def broken(self):
        return next((m.error for m in self.static if m.error), "")


def verdicts(before, after):
    old, new = {"a": before}, {"a": after}
    return [(c.variant, c.verdict) for match in matched(old, new) for c in checks_of(match, old, new)]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"net": Network()}, []),
        ({"net": Network(static=(macs(120),))}, [("net", "worse")]),
        ({"net": Network(static=(macs(80),))}, [("net", "better")]),
        ({"net": Network(static=(macs(1, "failed: oops"),))}, [("net", "broken")]),
        ({}, [("net", "missing")]),
        ({"other": Network(static=(macs(100, variant="other"),))}, [("other", "renamed")]),
        ({"other": Network(graph="h")}, [("other", "new"), ("net", "missing")]),
        ({"net": Network(), "more": Network(graph="h")}, [("more", "new")]),
    ],
)
def test_what_became_of_a_variant(after, expected):
    assert verdicts({"net": Network()}, after) == expected


def test_a_renamed_variant_has_its_numbers_compared():
    assert verdicts({"net": Network()}, {"other": Network(static=(macs(120, variant="other"),))}) == [
        ("other", "renamed"),
        ("other", "worse"),
    ]


def test_a_metric_of_one_revision_alone_is_no_change():
    assert verdicts({"net": Network()}, {"net": Network(static=(macs(100), macs(3, metric="depth")))}) == []


def test_what_was_broken_before_is_no_verdict_on_the_change():
    broken = Network(static=(macs(1, "failed: oops"),))
    assert verdicts({"net": broken}, {"net": broken}) == []


@dataclass(frozen=True)
class Unread:
    broken: str = "a plug-in is no Python"
    code: str = ""
    static: tuple = ()
    graph: str = ""


def test_an_ablation_that_cannot_be_read_any_more_is_broken_and_one_that_could_not_be_read_before_has_no_verdict():
    read, unread = {"net": Network()}, {"": Unread()}
    assert verdicts(read, unread) == [("", "broken")]
    assert verdicts(unread, read) == []
    assert verdicts(unread, unread) == []
    matches = matched({"a": unread}, {"a": read})
    assert to_time(matches, {"a": unread}, {"a": read}) == ([], 0)
    assert untimed(matches, {"a": unread}, {"a": read}) == [("a: every variant", "broken, before or now")]


def test_only_what_runs_other_code_in_both_revisions_is_timed():
    broken = Network(code="2", static=(macs(1, "failed: oops"),))
    before = {"a": {"same": Network(), "changed": Network(), "broken": Network(), "gone": Network(graph="x")}}
    after = {"a": {"same": Network(), "changed": Network(code="2"), "broken": broken, "new": Network(graph="y")}}
    differing, same = to_time(matched(before, after), before, after)
    assert [match.name for match in differing] == ["a: changed"]
    assert same == 1


def test_a_variant_of_two_ablations_is_timed_once_and_judged_in_both():
    before = {"a": {"net": Network(), "other": Network(code="o1")}, "b": {"net": Network()}}
    after = {"a": {"net": Network(code="2"), "other": Network(code="o2")}, "b": {"net": Network(code="2")}}
    groups = by_code(to_time(matched(before, after), before, after)[0], before, after)
    assert [[match.name for match in group] for group in groups] == [["a: net", "b: net"], ["a: other"]]
    timed = [Comparison("a: net", "latency", "win"), Comparison("a: other", "latency", "pass")]
    judged = [(each.name, each.verdict) for each in for_each(timed, groups)]
    assert judged == [("a: net", "win"), ("b: net", "win"), ("a: other", "pass")]


def comparison(verdict):
    return Comparison("a: net", "latency", verdict)


@pytest.mark.parametrize(
    ("checks", "timed", "code"),
    [
        ([], [], 0),
        ([], ["pass"], 0),
        ([], ["regression", "win"], 1),
        ([], ["inconclusive", "win"], 3),
        ([], ["win"], 5),
    ],
)
def test_the_gravest_verdict_is_the_exit_code(checks, timed, code):
    assert Against("abc", tuple(checks), tuple(comparison(each) for each in timed)).exit_code == code


def test_lines_against_a_revision_name_it_the_percentage_and_the_axis():
    old, new = (
        {"a": {"net(w=1)": Network("1", (macs(n, variant="net(w=1)"),)), f"net(w={n})": Network(graph=f"g{n}")}}
        for n in (4, 5)
    )
    checks = [check for match in matched(old, new) for check in checks_of(match, old, new)]
    assert [str(line) for line in lines(checks, "abc123")] == [
        "missing  a: 1 variant in abc123 only  (w=4)",
        "new      a: 1 variant not in abc123  (w=5)",
        "worse    a: macs +25.0 % (4 -> 5)  (w=1)",
    ]
