"""Times of different clocks are never compared, and a table says which clock a time is of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from bench.analysis.summary import summarise
from bench.report.table import table
from bench.results.results import Results

Made = Callable[..., Results]
CLAIM = "latency[net(a=1)] < latency[net(a=2)]"


def timed(made: Made, details: dict[str, dict[str, Any]], claims: tuple[str, ...] = ()) -> Results:
    """Two variants' latencies, each with its detail."""
    results = made({name: {"latency": [9.6, 9.7, 9.8, 9.7, 9.7, 9.7, 9.7]} for name in details}, claims)
    frame = results.frame
    return dataclasses.replace(results, frame=frame.assign(detail=pd.Series([details[v] for v in frame["variant"]])))


@pytest.mark.parametrize(
    ("one", "other", "compared"),
    [("elapsed", "elapsed", True), ("elapsed", "cpu", False), ("elapsed", None, False), (None, None, True)],
)
def test_only_times_of_one_clock_are_compared(
    results_of: Made, one: str | None, other: str | None, compared: bool
) -> None:
    details = {f"net(a={a})": {"clock": clock} if clock else {} for a, clock in ((1, one), (2, other))}
    summary = summarise(timed(results_of, details, (CLAIM,)))
    assert (summary.delta("net(a=2)", "latency") is not None) is compared
    (claim,) = summary.claims
    assert (claim.answer != "not evaluated") is compared
    assert compared or claim.reason.endswith(f"other clocks ({one or 'not recorded'} and {other or 'not recorded'})")


def test_a_table_of_elapsed_times_needs_no_remark(results_of: Made) -> None:
    text = table(timed(results_of, {f"net(a={a})": {"clock": "elapsed"} for a in (1, 2)}), "md")
    assert "clock" not in text


def test_a_table_says_where_a_clock_is_another_or_not_recorded(results_of: Made) -> None:
    unrecorded = table(timed(results_of, {"net(a=1)": {}, "net(a=2)": {}}), "md")
    assert "latency: the clock (elapsed or CPU time) is not recorded" in unrecorded
    mixed = table(timed(results_of, {"net(a=1)": {"clock": "elapsed"}, "net(a=2)": {"clock": "cpu"}}), "md")
    assert "latency of net(a=2): CPU time, not elapsed time; it is not compared with elapsed times" in mixed


def test_a_table_says_what_was_disturbed_and_what_is_shared(results_of: Made) -> None:
    details = {
        "net(a=1)": {"clock": "elapsed", "disturbed": True},
        "net(a=2)": {"clock": "elapsed", "shared_with": "net(a=1)"},
    }
    text = table(timed(results_of, details), "md")
    assert "disturbed: nearly every call waited for a core" in text.splitlines()[2]
    assert "disturbed" not in text.splitlines()[3]
    assert "latency of net(a=2): the timing of net(a=1) (same graph)" in text
