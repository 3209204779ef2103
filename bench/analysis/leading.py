"""Which two columns of a table lead: the metric that answers the question, and the one cost to set against it."""

from __future__ import annotations

from bench.analysis.aggregate import Column
from bench.analysis.front import is_cost
from bench.analysis.summary import Summary

TIMES = ("s", "ms")


def main_column(summary: Summary) -> Column | None:
    """The ablation's main metric where it was measured, a score or not; else the first score, else the first metric.

    None where nothing was measured.
    """
    measured = [column for column in summary.columns if summary.measured(column.metric)]
    named = next((column for column in measured if column.metric == summary.results.main), None)
    return named or summary.main() or next(iter(measured), None)


def cost_column(summary: Summary) -> Column | None:
    """The first time that was measured, else the first other cost; of those that are not the main metric."""
    main = main_column(summary)
    costs = [column for column in summary.columns if column != main and is_cost(summary, column)]
    times = [column for column in costs if column.unit in TIMES]
    return next(iter([*times, *costs]), None)
