"""Metrics as people read them: display names, and labels of axes."""

from __future__ import annotations

from collections.abc import Iterable

from bench.analysis.bounds import Bound
from bench.analysis.summary import Column, Summary
from bench.display.numbers import ARROWS, style_of
from bench.results.results import Results


def display_name(results: Results, metric: str) -> str:
    """`mIoU` for `miou`: what the provenance of the results calls the metric, else the metric's own name."""
    declared = results.provenance.get("metrics", {}).get(metric, {})
    return str(declared.get("display_name") or metric)


def axis_label(summary: Summary, column: Column) -> str:
    """`latency (ms) ↓`: display name, unit as shown, which way is better. `MACs (M)`, not `MACs (M MACs)`."""
    name = display_name(summary.results, column.metric)
    unit = style_of(summary, column).scale.unit.removesuffix(name).strip()
    parts = (name, f"({unit})" if unit else "", ARROWS.get(column.better or "", ""))
    return " ".join(part for part in parts if part)


def best_possible(bounds: Iterable[Bound]) -> str:
    """What a line of best scores is: what limits each variant, or any network where no bound of these ones is known."""
    limits = [each.because for each in bounds if each.because]
    if not limits:
        return "best of any network"
    by_field, by_stride = (any(text.startswith(start) for text in limits) for start in ("receptive field", "stride"))
    return f"best that the {' or the '.join(['receptive field'] * by_field + ['output stride'] * by_stride)} allows"
