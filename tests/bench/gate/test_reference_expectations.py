"""The deterministic numbers of the repository's ablations, measured anew, are those that were committed.

A test for each architecture: what several ablations have in common is measured once, and no test takes long.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.gate.expectations import Check, Part, compared, read
from bench.results.keys import Request, requests
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.structure import with_structure
from bench.sweep.worker import MeasureJob

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "results" / "expected").glob("*.csv"))
EXPECTED = {file.stem: read(file.read_text("utf-8"), file.name) for file in FILES}


def architecture(variant: str) -> str:
    return variant.partition("(")[0]


def architectures(ablation: str) -> set[str]:
    """Those that the expectations of an ablation name."""
    return {architecture(variant) for variant, _ in EXPECTED[ablation]}


def is_measurable(name: str) -> bool:
    return not name.startswith("smp:") or find_spec("segmentation_models_pytorch") is not None


@cache
def asked() -> dict[str, list[Request]]:
    """Ablation -> the requests of the static metrics that its expectations have."""
    return {name: of_ablation(name) for name in EXPECTED if all(map(is_measurable, architectures(name)))}


def of_ablation(name: str) -> list[Request]:
    metrics = {metric.split("/")[0] for _, metric in EXPECTED[name]}
    whole = with_structure(load(ROOT / "ablations" / f"{name}.yaml"))
    ablation = replace(whole, metrics=tuple(metric for metric in whole.metrics if metric.name in metrics))
    return list(requests(ablation, {}, ("static",)))


def measured(chosen: list[Request], store: Store) -> dict[str, Measurement]:
    """Key -> measurement: each measured once, in this process by a worker's job, and read back from a store."""
    each_once = {request.key: request for request in chosen}
    MeasureJob(tuple(each_once.values()))(lambda result: store.add([(result, "static", {})]))
    return {record.measurement.key: record.measurement for record in store.records()}


@pytest.mark.parametrize("name", sorted({name for ablation in EXPECTED for name in architectures(ablation)}))
def test_numbers_measured_anew_are_those_expected(name: str, store: Store) -> None:
    if not is_measurable(name):
        pytest.skip("segmentation_models_pytorch is an optional extra")
    chosen = {key: [r for r in rows if r.variant.architecture == name] for key, rows in asked().items()}
    rows = measured([request for each in chosen.values() for request in each], store)
    checks = [check for ablation, each in chosen.items() for check in of_architecture(ablation, name, each, rows)]
    assert checks
    assert [check for check in checks if check.verdict != "same"] == []


def of_architecture(ablation: str, name: str, chosen: list[Request], rows: dict[str, Measurement]) -> list[Check]:
    """The checks of an ablation's variants of an architecture."""
    expected: dict[Part, str] = {
        part: value for part, value in EXPECTED[ablation].items() if architecture(part[0]) == name
    }
    of_each = [replace(rows[request.key], variant=request.variant) for request in chosen]
    return compared(ablation, expected, [m for m in of_each if m.exact or m.error])


def test_every_architecture_of_an_ablation_has_expectations() -> None:
    in_ablations = {name: {request.variant.architecture for request in rows} for name, rows in asked().items()}
    assert in_ablations == {name: architectures(name) for name in in_ablations}


def test_the_smoke_ablation_has_expectations() -> None:
    assert "smoke" in EXPECTED
