"""Made-up measurements for tests of figures.

A module of `bench/plots` may define `example(results)`, which adds to made-up results what its figure shows. Every
test of all figures uses it, so a new figure needs no edit of a test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bench.results.results import Results


def with_metric(results: Results, metric: str, details: Sequence[Mapping[str, Any]], **columns: Any) -> Results:
    """The results with one measurement of `metric` for each variant, in their order, without a seed.

    `columns` are further columns of the frame, such as `unit`, `better`, `kind`, `exact` and `value`; a list has an
    entry for each variant.
    """
    import pandas as pd

    template = {"seed": pd.NA, "sample": 0, "error": None, "task": "", "dataset": "", "device": "cpu"}
    template |= {"dtype": "float32", "mode": "fp32", "duration": 1.0, "created": "2026-01-02T03:04:05"}
    rows = [
        {**template, "variant": variant, "metric": metric, "detail": dict(detail), "key": f"{variant}/{metric}"}
        for variant, detail in zip(results.variants, details, strict=True)
    ]
    added = pd.DataFrame(rows).assign(**columns).astype({"seed": "Int64"})
    frame = added if results.frame.empty else pd.concat([results.frame, added], ignore_index=True)
    return dataclasses.replace(results, frame=frame)


def without_metric(results: Results, metric: str) -> Results:
    """The results without the rows of `metric`."""
    if results.frame.empty:
        return results
    return dataclasses.replace(results, frame=results.frame[results.frame["metric"] != metric])


def with_receptive_fields(results: Results) -> Results:
    """The results with receptive fields of 11, 21, 31, ... px, the last variant's global."""
    metric, count = "receptive_field", len(results.variants)
    sizes = [11.0 + 10 * i for i in range(count - 1)] + [float("nan")]
    details = [{"global": i == count - 1} for i in range(count)]
    columns = {"unit": "px", "better": None, "kind": "static", "exact": True}
    return with_metric(without_metric(results, metric), metric, details, value=sizes, **columns)
