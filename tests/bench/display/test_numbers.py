"""Numbers as text: scales, decimals, signs, long errors."""

from __future__ import annotations

import pytest

from bench.display.numbers import (
    Scale,
    Style,
    _decimals,
    _plus_minus,
    brief,
    coverage_text,
    fixed,
    interval_text,
    scale_of,
)


@pytest.mark.parametrize(
    ("value", "unit", "shown", "factor"),
    [
        (134_260_544, "parameters", "M parameters", 1e6),
        (99_999, "px", "px", 1),
        (125e9, "MACs", "G MACs", 1e9),
        (0.0123, "s", "ms", 1e-3),
        (0.000012, "s", "\N{MICRO SIGN}s", 1e-6),
        (2.5, "s", "s", 1),
        (3 * 1024**2, "B", "MiB", 1024**2),
        (0.5, "1", "", 1),
        (float("inf"), "dB", "dB", 1),
    ],
)
def test_units(value: float, unit: str, shown: str, factor: float):
    assert (scale_of([value, 0], unit).unit, scale_of([value, 0], unit).factor) == (shown, factor)


def test_fixed_has_a_real_minus_and_no_negative_zero():
    assert fixed(-0.25, 2) == "\N{MINUS SIGN}0.25"
    assert fixed(-0.001, 2) == "0.00"
    assert fixed(0.5, 1, sign=True) == "+0.5"


def test_long_errors_are_cut_to_their_first_line():
    assert brief("error: no\nsecond") == "no"
    assert len(brief("x" * 200)) == 60


def test_a_coverage_below_one_is_never_rounded_up_to_all():
    assert coverage_text(0.99999) == "covers 99.9 % of operators"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0004, "\N{MINUS SIGN}0.0004"),
        (0.0004, "+0.0004"),
        (-0.00096, "\N{MINUS SIGN}0.001"),
        (0.0000042, "+0.000004"),
        (-0.0123, "\N{MINUS SIGN}0.012"),
        (0.0, "+0.000"),
        (1e-17, "+0.000"),  # what floating-point numbers leave of nothing
    ],
)
def test_a_difference_that_is_not_zero_never_reads_zero(value: float, text: str):
    assert Style(Scale(1.0, ""), 3).text(value, sign=True) == text
    assert Style(Scale(1e-3, "m"), 3).text(value / 1000, sign=True) == text


def test_a_bound_that_excludes_zero_is_not_shown_as_zero():
    assert interval_text((-0.0281, -0.0004), Style(Scale(1.0, ""), 3)) == " [\N{MINUS SIGN}0.028, \N{MINUS SIGN}0.0004]"


@pytest.mark.parametrize(
    ("values", "spreads", "decimals"),
    [
        ([0.521, 0.473], [0.003, 0.004], 4),  # two digits of the spread
        ([1.0, 0.50033], [0.0006], 4),  # one digit of a tiny spread: not 1.00000
        ([6.3577, 4.7522], [0.0028, 0.0035, 5.556], 2),  # not 4.7522 ± 5.5560
        ([134.35], [0.0213], 2),
        ([0.1872, 0.19], [0.00002], 5),
        ([6.3577], [], 3),
    ],
)
def test_decimals_follow_the_spread_and_do_not_exceed_it(values: list[float], spreads: list[float], decimals: int):
    assert _decimals(values, spreads, exact=False) == decimals


def test_a_spread_that_is_not_zero_never_reads_zero():
    assert _plus_minus(0.0028, Style(Scale(1.0, "px"), 2)) == " ± 0.003"
    assert _plus_minus(5.556, Style(Scale(1.0, "px"), 2)) == " ± 5.56"
    assert _plus_minus(0.0, Style(Scale(1.0, "px"), 2)) == " ± 0.00"
    assert _plus_minus(None, Style(Scale(1.0, "px"), 2)) == ""
