"""An ablation on a dataset that is not here, with made-up measurements under the keys that it asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.registry.catalogue import declarations
from bench.results.bundle import Bundle
from bench.results.conditions import conditions_of
from bench.results.keys import Request, requests
from bench.results.measurement import Evaluation, Measurement, Record
from bench.results.store import Store
from bench.spec.ablation import Ablation, load

TEXT = """
question: Do skips help on data that is not here?
architecture: fcn
baseline: {stride: 32, width: 0.05, fc_channels: 16}
vary: {stride: [16]}
metrics: [params, output_stride, latency, miou, pixel_accuracy]
workload: {dataset: camvid, shape: [3, 64, 64]}
train: {steps: 5}
seeds: 3
claims: [{says: "miou[stride=16] > miou", source: Table 1}]
"""
FINGERPRINT = {"train": "1a", "val": "2b"}
DATE = "2026-01-02T03:04:05+00:00"


def ablation_in(folder: Path, *settings: str) -> Ablation:
    """The ablation, loaded from `folder/ablations/absent.yaml`, which is written first."""
    file = folder / "ablations" / "absent.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(TEXT)
    return load(file, settings)


def record_of(request: Request) -> Record:
    """A made-up measurement of the request; scores differ by seed and image."""
    random = np.random.default_rng([len(request.variant.name), len(request.metric), request.seed or 0])
    metric = declarations(()).metrics.get(request.metric)
    base = {"params": 1234, "output_stride": 32, "latency": 0.01}.get(request.metric, 0.4)
    better = 0.1 if "stride=16" in request.variant.name and request.seed is not None else 0.0
    samples = [base] if request.kind == "static" else (base + better + random.normal(0, base / 99, 1)).tolist()
    samples = (base + random.normal(0, base / 99, 30)).tolist() if request.kind == "speed" else samples
    return Record(
        Measurement(
            key=request.key,
            variant=request.variant,
            workload=request.workload,
            metric=metric.name,
            unit=metric.unit,
            better=metric.better,
            samples=tuple(samples),
            exact=request.kind == "static",
            seed=request.seed,
            duration=random.uniform(),
            environment={"torch": "2"},
            contributions=tuple(random.normal(samples[0], 0.01, 9)) if request.kind == "accuracy" else (),
        ),
        request.kind,
        DATE,
        conditions_of(request.parts),
    )


def evaluation(seed: int) -> Evaluation:
    """What a trained network did: a curve, and no pictures, since the licence of the dataset does not allow any."""
    curves = {"step": np.arange(1, 301, dtype=np.float32), "loss": np.linspace(2, 1, 300, dtype=np.float32)}
    return Evaluation("segmentation", {}, ("road", "sky"), curves, facts={"cpu_seconds": 60.0, "seed": seed})


def bundle_of(ablation: Ablation, kinds: tuple[str, ...] = ("static", "speed", "accuracy")) -> Bundle:
    """Everything that the ablation asks for of these kinds."""
    chosen = [request for request in requests(ablation, FINGERPRINT) if request.kind in kinds]
    runs = {(r.variant, r.seed or 0): evaluation(r.seed or 0) for r in chosen if r.training_run}
    return Bundle(ablation.name, tuple(record_of(request) for request in chosen), runs)


def fill(store: Store, ablation: Ablation, kinds: tuple[str, ...] = ("static", "speed", "accuracy")) -> None:
    """Put what `bundle_of` has into the store, under the same keys."""
    for request in requests(ablation, FINGERPRINT):
        if request.kind in kinds:
            store.add_records([record_of(request)])
        if request.training_run and "accuracy" in kinds:
            store.add_evaluation(request.training_run, evaluation(request.seed or 0))


def shifted(bundle: Bundle, by: float) -> Bundle:
    """The bundle with every value changed."""
    records = [replace(r, measurement=replace(m, samples=tuple(s + by for s in m.samples)))
               for r in bundle.records for m in [r.measurement]]  # fmt: skip
    return replace(bundle, records=tuple(records))
