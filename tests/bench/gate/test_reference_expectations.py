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
from bench.sweep.worker import MeasureJob

ROOT = Path(__file__).parents[3]
EXPECTED = sorted((ROOT / "results" / "expected").glob("*.csv"))


def measured(name: str, store: Store) -> list[Measurement]:
    """The static measurements of an ablation: made in this process by a worker's job, and read back from a store."""
    ablation = load(ROOT / "ablations" / f"{name}.yaml")
    asked = list(requests(ablation, {}, ("static",)))
    each_once = {request.key: request for request in asked}
    MeasureJob(tuple(each_once.values()), ablation.plugins)(lambda result: store.add([(result, "static", {})]))
    rows = {record.measurement.key: record.measurement for record in store.records()}
    of_each = [replace(rows[request.key], variant=request.variant) for request in asked]
    return [m for m in of_each if m.exact or m.error]


@pytest.mark.parametrize("file", EXPECTED, ids=lambda file: file.stem)
def test_numbers_measured_anew_are_those_expected(file: Path, store: Store) -> None:
    checks = compared(file.stem, read(file.read_text("utf-8"), file.name), measured(file.stem, store))
    assert [check for check in checks if check.verdict != "same"] == []


def test_the_smoke_ablation_has_expectations() -> None:
    assert "smoke" in {file.stem for file in EXPECTED}
