"""Results in the formats of other tools: the tidy frame as CSV or Parquet, runs for W&B, MLflow and TensorBoard."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.registry.writing import write_bytes, write_text
from bench.report import trackers
from bench.report.eventfile import events
from bench.report.runs import Run, runs
from bench.results.results import Results
from bench.spec.characters import csv_field

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = {"parquet": "pyarrow", "wandb": "wandb", "mlflow": "mlflow"}
"""What a format needs; the extra of fovbench has the name of the format."""


class ExportError(ValueError):
    """A format whose package is missing, or a folder that cannot take it."""


def export(results: Results, format: str, folder: Path) -> Path:
    """Write the results into a folder; the file or folder written. Raises ExportError."""
    package = PACKAGES.get(format)
    if package and importlib.util.find_spec(package) is None:
        raise ExportError(f"--format {format} needs the package {package}: pip install 'fovbench[{format}]'")
    return WRITERS[format](results, folder)


def tidy(results: Results) -> pd.DataFrame:
    """The frame with each value as a number or text: details as JSON, shapes as `3x120x160`."""
    frame = results.frame.copy()
    frame["detail"] = [json.dumps(detail or {}, sort_keys=True, default=str) for detail in frame["detail"]]
    if "shape" in frame:
        frame["shape"] = ["x".join(map(str, shape)) for shape in frame["shape"]]
    for column in (name for name in frame.columns if frame[name].dtype == object):
        values = frame[column].tolist()
        if len({type(value) for value in values if value is not None and value == value}) > 1:
            frame[column] = [None if value is None or value != value else str(value) for value in values]
    return frame


def _csv(results: Results, folder: Path) -> Path:
    frame = tidy(results)
    escaped = frame.map(csv_field).set_axis([csv_field(str(name)) for name in frame.columns], axis=1)
    return write_text(folder / f"{results.name}.csv", escaped.to_csv(index=False, lineterminator="\n"))


def _parquet(results: Results, folder: Path) -> Path:
    out = io.BytesIO()
    tidy(results).map(_as_utf8).to_parquet(out, engine="pyarrow", index=False)
    return write_bytes(folder / f"{results.name}.parquet", out.getvalue())


def _as_utf8(value: Any) -> Any:
    """A text with what UTF-8 cannot encode, half of a surrogate pair, as its escape."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def _tensorboard(results: Results, folder: Path) -> Path:
    """An event file for each variant and seed; a second export replaces the first."""
    for run in runs(results):
        if run.curves or run.numbers:
            name = f"events.out.tfevents.{int(run.created):010d}.fovbench"
            write_bytes(folder / run.folder / name, events(run.curves, run.numbers, run.created))
    return folder


def _tracked(write: Callable[[str, Iterator[Run], Path], None]) -> Callable[[Results, Path], Path]:
    """A writer of a tracker, which adds runs to what a folder has: the folder must be empty."""

    def writer(results: Results, folder: Path) -> Path:
        if folder.is_dir() and any(folder.iterdir()):
            raise ExportError(f"{folder} is not empty: its runs would be there twice; name a new folder with --to")
        folder.mkdir(parents=True, exist_ok=True)
        write(results.name, runs(results), folder)
        return folder

    return writer


WRITERS: Mapping[str, Callable[[Results, Path], Path]] = {
    "parquet": _parquet,
    "csv": _csv,
    "wandb": _tracked(trackers.wandb_runs),
    "mlflow": _tracked(trackers.mlflow_runs),
    "tensorboard": _tensorboard,
}
