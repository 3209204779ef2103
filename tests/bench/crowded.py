"""A store with made-up measurements of an ablation of many variants, beside a long history of other settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.registry.catalogue import declarations
from bench.results.keys import Request
from bench.results.measurement import Evaluation, Measurement
from bench.results.store import Store
from bench.spec.ablation import Ablation, load
from bench.sweep.plan import plan

CURVES = {"step": np.arange(1, 41, dtype=np.float32), "loss": np.linspace(2, 1, 40, dtype=np.float32)}

TEXT = """
question: What do widths cost?
architecture: fcn
baseline: {{stride: 32, fc_channels: 2, dropout: 0.0}}
grid: {{dropout: {dropouts}, fc_channels: {channels}}}
metrics: {metrics}
seeds: {seeds}
train: {{steps: {steps}}}
"""
METRICS = ("params", "macs", "latency", "miou", "pixel_accuracy")


def ablation_in(
    folder: Path,
    variants: int,
    seeds: int = 3,
    metrics: Sequence[str] = METRICS,
    name: str = "crowded",
    steps: int = 5,
) -> Ablation:
    """An ablation of `variants` variants (five, or a multiple of ten), as `folder/ablations/NAME.yaml`."""
    file = folder / "ablations" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    dropouts = [n / 20 for n in range(min(variants, 10))]
    channels = [*range(2, 2 + max(variants // 10, 1))]
    file.write_text(TEXT.format(dropouts=dropouts, channels=channels, metrics=list(metrics), seeds=seeds, steps=steps))
    return load(file)


def measurement_of(request: Request, key: str = "", seed: int | None = None) -> Measurement:
    """A made-up measurement of the request, under its own key and seed or under others."""
    metric = declarations(()).metrics.get(request.metric)
    axes = request.variant.values
    value = 0.3 + 0.001 * axes["fc_channels"] + 0.01 * ((7 * (request.seed or 0) + axes["fc_channels"]) % 5)
    if request.kind == "static":
        value = float(axes["fc_channels"] * 20 + round(20 * axes["dropout"]))
    return Measurement(
        key=key or request.key,
        variant=request.variant,
        workload=request.workload,
        metric=metric.name,
        unit=metric.unit,
        better=metric.better,
        samples=tuple(value + 1e-4 * n for n in range(5)) if request.kind == "speed" else (value,),
        exact=request.kind == "static",
        seed=request.seed if seed is None else seed,
        duration=1.0,
        environment={"torch": "2"},
        contributions=tuple(value + 1e-3 * n for n in range(4)) if request.kind == "accuracy" else (),
    )


def fill(store: Store, ablation: Ablation) -> None:
    """Store a made-up measurement of everything that the ablation asks for, and small evaluations."""
    chosen = plan(ablation, store).requests
    store.add((measurement_of(each), each.kind, each.parts) for each in chosen)
    for run in {each.training_run: each.seed for each in chosen if each.training_run}.items():
        store.add_evaluation(run[0], Evaluation("segmentation", {}, curves=CURVES, facts={"seed": run[1]}))


def add_history(store: Store, ablation: Ablation, rows: int) -> None:
    """Add `rows` measurements of the same variants and metrics that were trained and timed under other settings."""
    requests = plan(ablation, store).requests
    store.add(_of_other_settings(requests[n % len(requests)], n) for n in range(rows))


def _of_other_settings(request: Request, number: int) -> tuple[Measurement, str, dict[str, object]]:
    parts = {**request.parts, "shape": [3, 32 + number % 7, 32]}
    seed = None if request.seed is None else 100 + number
    parts |= {} if seed is None else {"seed": seed}
    return measurement_of(request, f"history{number:013d}", seed), request.kind, parts


def calls(work: Callable[[], object]) -> int:
    """How many functions of ours and of Python a piece of work calls."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count
