"""The deterministic numbers of the repository's ablations, measured anew, are those that were committed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.gate.expectations import compared, read
from bench.results.keys import requests
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.structure import with_structure
from bench.sweep.worker import MeasureJob

ROOT = Path(__file__).parents[3]
EXPECTED = sorted((ROOT / "results" / "expected").glob("*.csv"))


def measured(name: str, metrics: set[str], store: Store) -> list[Measurement]:
    """These static metrics of an ablation: measured in this process by a worker's job, and read back from a store."""
    whole = with_structure(load(ROOT / "ablations" / f"{name}.yaml"))
    ablation = replace(whole, metrics=tuple(metric for metric in whole.metrics if metric.name in metrics))
    asked = list(requests(ablation, {}, ("static",)))
    each_once = {request.key: request for request in asked}
    MeasureJob(tuple(each_once.values()), ablation.plugins)(lambda result: store.add([(result, "static", {})]))
    rows = {record.measurement.key: record.measurement for record in store.records()}
    of_each = [replace(rows[request.key], variant=request.variant) for request in asked]
    return [m for m in of_each if m.exact or m.error]


@pytest.mark.parametrize("file", EXPECTED, ids=lambda file: file.stem)
def test_numbers_measured_anew_are_those_expected(file: Path, store: Store) -> None:
    expected = read(file.read_text("utf-8"), file.name)
    if any(variant.startswith("smp:") for variant, _ in expected):
        pytest.importorskip("segmentation_models_pytorch", reason="smp is an optional extra")
    metrics = {metric.split("/")[0] for _, metric in expected}
    checks = compared(file.stem, expected, measured(file.stem, metrics, store))
    assert [check for check in checks if check.verdict != "same"] == []


def test_the_smoke_ablation_has_expectations() -> None:
    assert "smoke" in {file.stem for file in EXPECTED}
