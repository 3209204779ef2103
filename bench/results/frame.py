"""Measurements as one tidy table: the only form in which tables, figures and pages read numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.results.location import Location
from bench.results.measurement import Record
from bench.results.store import DEFAULT, Store

if TYPE_CHECKING:
    import pandas as pd

_HEAD = ("architecture", "variant")
_TAIL = (
    "metric", "unit", "better", "kind", "seed", "sample", "value", "exact", "error", "task", "dataset", "shape",
    "batch", "device", "dtype", "mode", "duration", "created", "key", "detail",
)  # fmt: skip


def load(path: str | Location = DEFAULT, keys: Iterable[str] | None = None) -> pd.DataFrame:
    """The results store as a table (see `frame_of`); only the measurements of `keys` where given."""
    with Store(path) as store:
        return frame_of(store.records(keys))


def frame_of(records: Iterable[Record]) -> pd.DataFrame:
    """One row for each sample, axes as columns; a failure is one row with its error.

    Columns: architecture, variant, the axes, metric, unit, better, kind, seed, sample, value, exact, error,
    task, dataset, shape, batch, device, dtype, mode, duration (s), created, key, detail. An axis whose name is one of
    these has the column `axis.NAME`.
    """
    rows = [row for record in records for row in _rows(record)]
    axes = list(dict.fromkeys(name for row in rows for name in row["axes"]))
    frame = frame_with([{**row, **row["axes"]} for row in rows], [*_HEAD, *axes, *_TAIL])
    return _typed(frame) if rows else frame


def frame_with(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A table of these columns, a row for each mapping. Texts stay Python's own.

    An error message may have half of a surrogate pair (of a file name that is not UTF-8), which the strings of pandas 3
    refuse.
    """
    import pandas as pd

    values = {name: [row.get(name) for row in rows] for name in columns}
    return pd.DataFrame(
        {name: pd.Series(each, dtype=_kind(each)) for name, each in values.items()}, columns=list(columns)
    )


def _kind(values: Sequence[Any]) -> type[object] | None:
    """`object` for a column that has a text or nothing at all; pandas chooses the type of others."""
    return object if any(isinstance(each, str) for each in values) or not values else None


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.astype({"seed": "Int64", "value": float})
    for column in ("better", "error", "mode"):
        frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
    return frame


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    m, work = record.measurement, record.measurement.workload
    reserved = {*_HEAD, *_TAIL}
    axes = {f"axis.{name}" if name in reserved else name: value for name, value in m.variant.axes}
    shared = {
        **{"architecture": m.variant.architecture, "variant": m.variant.name, "axes": axes},
        **{"metric": m.metric, "unit": m.unit, "better": m.better, "kind": record.kind, "seed": m.seed},
        **{"exact": m.exact, "error": m.error, "task": work.task, "dataset": work.dataset, "shape": work.shape},
        **{"batch": work.batch, "device": work.device, "dtype": work.dtype, "mode": m.detail.get("mode")},
        **{"duration": m.duration, "created": record.created, "key": m.key, "detail": dict(m.detail)},
    }
    for sample, value in enumerate(m.samples or (math.nan,)):
        yield {**shared, "sample": sample, "value": value}
