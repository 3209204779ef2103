"""Results as runs of W&B and MLflow, in folders on this machine: nothing is sent."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.report.runs import Run

SILENT = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
SILENT |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""Settings under which the two libraries write to the disk alone; they are read when the libraries are imported."""


def wandb_runs(project: str, runs: Iterable[Run], folder: Path) -> None:
    """An offline run for each of `runs` below `folder/wandb`; `wandb sync` uploads them, where a person wants that."""
    os.environ.update(SILENT)
    wandb: Any = importlib.import_module("wandb")
    for run in runs:
        tracked = wandb.init(
            project=project, name=run.name, dir=str(folder), config=dict(run.config), mode="offline", reinit=True
        )
        for step, values in _by_step(run.curves).items():
            tracked.log(values, step=step)
        tracked.summary.update(dict(run.numbers))
        tracked.finish()


def mlflow_runs(experiment: str, runs: Iterable[Run], folder: Path) -> None:
    """A run for each of `runs` in a file store in `folder`: `mlflow ui --backend-store-uri FOLDER` shows them."""
    os.environ.update(SILENT)
    tracking: Any = importlib.import_module("mlflow.tracking")
    client = tracking.MlflowClient(tracking_uri=folder.resolve().as_uri())
    place = client.create_experiment(experiment)
    for run in runs:
        moment = int(1000 * run.created)
        made = client.create_run(place, start_time=moment, run_name=run.name).info.run_id
        for name, value in run.config.items():
            client.log_param(made, name, value)
        for name, points in run.curves.items():
            for step, value in points:
                client.log_metric(made, name, value, timestamp=moment, step=step)
        for name, value in run.numbers.items():
            client.log_metric(made, name, value, timestamp=moment)
        client.set_terminated(made, end_time=moment)


def _by_step(curves: Mapping[str, Iterable[tuple[int, float]]]) -> dict[int, dict[str, float]]:
    """Step -> the values of all curves there, in the order of the steps."""
    steps: dict[int, dict[str, float]] = {}
    for name, points in curves.items():
        for step, value in points:
            steps.setdefault(step, {})[name] = value
    return dict(sorted(steps.items()))
