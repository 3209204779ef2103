"""The lines of a gate: one for each headline number, over all variants."""

import pytest

from bench.gate.expectations import Check
from bench.gate.summary import change_text, lines


def check(variant, metric, verdict, expected, measured, error=None):
    return Check("abl", variant, metric, verdict, expected, measured, error)


def shown(*checks):
    return [str(line) for line in lines(checks)]


@pytest.mark.parametrize(
    ("expected", "measured", "text"),
    [
        ("401400000", "414200000", "+3.2 % (401.4 M -> 414.2 M)"),
        ("100", "80", "-20 % (100 -> 80)"),
        ("1000000000", "1000000001", "+0.000000 % (1 G -> 1.000000001 G)"),
        ("0", "3", "(0 -> 3)"),
        ("0.08544158935546875", "0.10887908935546875", "+27.4 % (0.08544 -> 0.1089)"),
        ("9", "10", "+11.1 % (9 -> 10)"),
        ("[1 2]", "[1 3]", "[1 2] -> [1 3]"),
        ("100", None, "100 -> nothing"),
    ],
)
def test_a_change_says_its_percentage_and_both_numbers(expected, measured, text):
    row = check("net(a=1)", "macs", "worse", expected, measured)
    assert change_text(row).replace(".0 %", " %") == text


def test_equal_changes_of_variants_are_one_line_and_parts_of_the_detail_are_left_out():
    rows = [
        check(f"net(a={a},b=1)", metric, "worse", "100", "110")
        for a in (1, 2, 3, 4)
        for metric in ("macs", "macs/live", "macs/operators/convolution")
    ]
    assert shown(*rows) == ["worse    abl: macs +10.0 % (100 -> 110)  (a=1; a=2; a=3 and 1 more)"]


def test_the_operators_that_came_and_went_are_named_with_their_module():
    rows = [
        check("net", "graph_hash", "changed", "1", "2"),
        check("net", "graph_hash/hash", "changed", "'a'", "'b'"),
        check("net", "op_counts", "worse", "3", "4"),
        check(
            "net", "module_operators/modules", "changed", "'a.0: conv 2; (network): relu'", "'a.0: conv, relu; b: add'"
        ),
    ]
    assert shown(*rows) == ["changed  abl: graph -1 conv, +1 relu in a.0; -1 relu in (network); +1 add in b  (net)"]


def test_missing_new_and_broken_variants_are_one_line_each():
    rows = [check("net(a=1)", metric, "missing", "1", None) for metric in ("macs", "params")]
    rows += [check("net(a=2)", metric, "new", None, "1") for metric in ("macs", "params")]
    rows += [check(f"net(a={a})", "macs", "broken", "1", None, "failed: oops") for a in (3, 4)]
    assert shown(*rows) == [
        "broken   abl: failed: oops  (a=3; a=4)",
        "missing  abl: 1 variant in the expectations only  (a=1)",
        "new      abl: 1 variant not in the expectations  (a=2)",
    ]


def test_a_metric_that_was_not_measured_again_is_one_line():
    rows = [check(f"net(a={a})", "macs/live", "missing", "1", None) for a in (1, 2)]
    rows += [check(f"net(a={a})", "macs", "missing", "1", None) for a in (1, 2)]
    rows += [check(f"net(a={a})", "params", "same", "1", "1") for a in (1, 2)]
    assert shown(*rows) == ["missing  abl: macs not measured  (a=1; a=2)"]


def test_one_part_that_changes_by_other_amounts_is_not_several_parts():
    rows = [
        check("net(a=1)", "activations/all", "changed", "100", "110"),
        check("net(a=2)", "activations/all", "changed", "100", "120"),
    ]
    assert shown(*rows) == [
        "changed  abl: activations/all +10.0 % (100 -> 110); in other variants 1 other change  (a=1; a=2)"
    ]
    rows.append(check("net(a=1)", "activations/live", "changed", "1", "2"))
    assert "(100 -> 110) and 1 more part; in other variants 1 other change" in shown(*rows)[0]


def test_operators_in_another_order_leave_no_blank():
    row = check("net", "module_operators/modules", "changed", "'a: conv, relu'", "'a: relu, conv'")
    assert shown(row) == ["changed  abl: graph changed, with the same operators  (net)"]
