"""Which metrics are functions of the units of an evaluation: what each declares against what it reads.

Metrics, tasks, datasets and networks come from the registry, so this test needs no edit for a new metric.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

import bench.tasks.features
import bench.tasks.generation
from bench.registry import Axis, Entry, Metric, RegistryError
from bench.registry.catalogue import declarations, live
from bench.results.measurement import Evaluation, Reading

NETWORK = {"width": 0.125, "fc_channels": 64, "layers": 3, "size": 16, "stacks": 1, "regions": 8, "padding": "same"}
"""Values of axes that make a network small."""
DATASET = {"val_count": 24, "occlusion": 0.3}
SHAPES = ((3, 64, 64), (1, 16, 16))

METRICS = [entry.name for entry in declarations().metrics if entry.kind == "accuracy"]


class Watched(Mapping[str, Any]):
    """Units that record whether anything was asked of them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values_by_name, self.read = values, False

    def __getitem__(self, name: str) -> Any:
        self.read = True
        return self.values_by_name[name]

    def __contains__(self, name: object) -> bool:
        self.read = True
        return name in self.values_by_name

    def __iter__(self) -> Iterator[str]:
        self.read = True
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)


@pytest.fixture(scope="module", autouse=True)
def hasty() -> Iterator[None]:
    """Few samples, and a feature net of few steps: the numbers do not matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.tasks.features, "STEPS", 2)
        patch.setattr(bench.tasks.generation, "SAMPLES", 32)
        yield


def usable(entry: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that the entry has an axis for."""
    return {axis.name: values[axis.name] for axis in entry.axes if axis.name in values and accepts(axis, values)}


def accepts(axis: Axis, values: Mapping[str, Any]) -> bool:
    try:
        axis.parse(values[axis.name])
    except RegistryError:
        return False
    return True


@functools.cache
def examples_of(task: str) -> Any:
    """The validation split of the task's first dataset that is drawn, and what it requires of a network."""
    entry = next(entry for entry in declarations().datasets if entry.embedded and entry.task == task)
    axes = usable(entry, DATASET)
    for shape in SHAPES:
        try:
            return live(entry).call(None, "val", shape, **axes), entry.requires
        except ValueError:
            continue
    raise AssertionError(f"'{entry.name}' has none of the shapes {SHAPES}: add one that it has")


@functools.cache
def evaluated(architecture: str) -> Evaluation | None:
    """What a small untrained network of this family does on its task's data; None where it is not made for them."""
    entry = live(declarations().architectures.get(architecture))
    examples, required = examples_of(entry.task)
    torch.manual_seed(0)
    try:
        network = entry.build(**usable(entry, {**NETWORK, **required}))
    except RegistryError:
        return None
    task: Any = live(declarations().tasks.get(entry.task)).call
    evaluation: Evaluation = task.evaluate(network, examples)
    if hasattr(network, "evaluation_units"):
        units = network.evaluation_units(task.prepare(examples.images), examples.targets)
        evaluation = replace(evaluation, units={**evaluation.units, **units})
    return evaluation


def evaluations(metric: Metric) -> Iterator[Evaluation]:
    """Evaluations of the families of the metric's tasks, made one by one."""
    for entry in declarations().architectures:
        if metric.fits(entry.task) and (evaluation := evaluated(entry.name)):
            yield evaluation


def read(metric: Metric, evaluation: Evaluation, units: Mapping[str, Any]) -> Reading:
    reading = live(metric).call(replace(evaluation, units=units))
    return reading if isinstance(reading, Reading) else Reading(reading)


@pytest.mark.parametrize("name", [name for name in METRICS if declarations().metrics.get(name).reads_units])
def test_a_metric_that_declares_units_reads_them_and_has_a_number_for_a_part_of_them(name: str) -> None:
    metric = declarations().metrics.get(name)
    touched = False
    for evaluation in evaluations(metric):
        units = Watched(evaluation.units)
        reading = read(metric, evaluation, units)
        touched |= units.read
        if reading.value is not None:
            numbers = [part for part in parts(evaluation) if read(metric, evaluation, part).value is not None]
            assert numbers, f"{name} has no number where some units are left out"
            break
    assert touched


def parts(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """The units without a quarter of them, four times."""
    count = len(next(iter(evaluation.units.values())))
    for quarter in range(4):
        rows = [i for i in range(count) if i * 4 // count != quarter]
        yield {name: values[rows] for name, values in evaluation.units.items()}


@pytest.mark.parametrize("name", [name for name in METRICS if not declarations().metrics.get(name).reads_units])
def test_a_metric_that_declares_no_units_never_touches_them(name: str) -> None:
    metric = declarations().metrics.get(name)
    for evaluation in evaluations(metric):
        units = Watched(evaluation.units)
        reading = read(metric, evaluation, units)
        assert not units.read
        assert read(metric, evaluation, {}) == reading
        if reading.value is not None:
            return


@pytest.mark.parametrize("name", [metric.name for metric in declarations().metrics])
def test_every_metric_has_a_name_for_people(name: str) -> None:
    shown = declarations().metrics.get(name).display_name or name
    assert "_" not in shown
