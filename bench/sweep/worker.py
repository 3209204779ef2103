"""What runs inside a job's process: measure a network, or train it once and read every metric off the result."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.hardware.environment import snapshot
from bench.registry import Metric
from bench.registry.catalogue import declarations, live
from bench.results.keys import Request
from bench.results.measurement import Evaluation, Measurement, Reading
from bench.results.signature import Signature
from bench.spec.recipe import Recipe
from bench.sweep.contributions import contributions
from bench.sweep.executors import Emit
from bench.sweep.executors.local import described
from bench.sweep.signature import signature, values
from bench.sweep.subjects import subject_of
from bench.sweep.training_run import trained


@dataclass(frozen=True)
class Evaluated:
    """The evaluation of a training run, on its way to the store."""

    training_run: str
    evaluation: Evaluation


@dataclass(frozen=True)
class MeasureJob:
    """Static or speed measurements; the measurements of one variant share its network and its recording."""

    requests: tuple[Request, ...]
    plugins: tuple[str, ...] = ()
    attempt: int = 1

    def __call__(self, emit: Emit) -> None:
        for _, requests in groupby(self.requests, key=lambda request: (request.variant, request.workload)):
            self._variant(tuple(requests), emit)

    def _variant(self, requests: tuple[Request, ...], emit: Emit) -> None:
        subject = subject_of(requests[0], self.plugins)
        for request in requests:
            emit(measured(request, lambda metric: metric.call(subject), self.plugins))


@dataclass(frozen=True)
class SignatureJob:
    """What the networks of these measurements are; those in `recorded` get their values read."""

    requests: tuple[Request, ...]
    plugins: tuple[str, ...] = ()
    recorded: tuple[Signature, ...] = ()

    def __call__(self, emit: Emit) -> None:
        by_key = {each.key: each for each in self.recorded}
        for request in self.requests:
            emit(self._signature(request, by_key.get(request.key)))

    def _signature(self, request: Request, recorded: Signature | None) -> Signature:
        try:
            subject = subject_of(request, self.plugins)
            return replace(recorded, values=values(subject)) if recorded else signature(request.key, subject)
        except Exception as error:
            return Signature(request.key, error=described(error))


@dataclass(frozen=True)
class TrainJob:
    """One training run: a variant trained from a seed, evaluated, and all its accuracy measurements.

    `evaluation` is what an earlier run stored of this training run; with it nothing is trained.
    """

    requests: tuple[Request, ...]
    recipe: Recipe
    data: Path | None
    plugins: tuple[str, ...] = ()
    evaluation: Evaluation | None = None
    attempt: int = 1

    def __call__(self, emit: Emit) -> None:
        first = self.requests[0]
        evaluation = self.evaluation
        if evaluation is None:
            evaluation = trained(first, self.recipe, self.data, emit, self.plugins)
            emit(Evaluated(first.training_run, evaluation))
        training_facts = {key: evaluation.facts.get(key) for key in ("mode", "seconds", "cpu_seconds", "refused")}
        for request in self.requests:
            result = measured(request, lambda metric: metric.call(evaluation), self.plugins)
            result = _with_contributions(result, evaluation, self.plugins)
            spent = result.duration + float(training_facts["seconds"] or 0)
            emit(replace(result, duration=spent, detail={**result.detail, **training_facts}))


def _with_contributions(result: Measurement, evaluation: Evaluation, plugins: tuple[str, ...]) -> Measurement:
    """The measurement with what each block of images contributes to it, or with the reason why that is unknown."""
    metric = declarations(plugins).metrics.get(result.metric)
    if not metric.reads_units or not result.samples:
        return result
    try:
        return replace(result, contributions=contributions(live(metric, plugins).call, evaluation))
    except Exception as error:
        return replace(result, detail={**result.detail, "contributions_error": described(error)})


def measured(request: Request, read: Callable[[Metric], Any], plugins: tuple[str, ...] = ()) -> Measurement:
    """The measurement of a request: what `read` gave, or the error that it raised."""
    started = time.perf_counter()
    entry = declarations(plugins).metrics.get(request.metric)
    try:
        reading = _checked(read(live(entry, plugins)))
    except Exception as error:
        reading = Reading(None, error=described(error))
    return measurement(request, entry, reading, time.perf_counter() - started)


def _checked(result: Any) -> Reading:
    """The result as a reading whose samples are finite numbers and whose detail is JSON. Raises what is wrong."""
    reading = result if isinstance(result, Reading) else Reading(result)
    for sample in _samples(reading.value):
        if not math.isfinite(sample):
            raise ValueError(f"the metric gave {sample}, which is not a finite number")
    json.dumps(dict(reading.detail))
    return reading


def measurement(request: Request, metric: Metric, reading: Reading, duration: float) -> Measurement:
    """A reading as a measurement; a single number of a static metric is exact."""
    samples = tuple(_samples(reading.value))
    return Measurement(
        key=request.key,
        variant=request.variant,
        workload=request.workload,
        metric=metric.name,
        unit=metric.unit,
        better=metric.better,
        samples=samples,
        exact=request.kind == "static" and reading.exact,
        seed=request.seed,
        duration=duration,
        environment=snapshot(request.workload.device),
        error=reading.error or (None if samples or reading.detail else "failed: the metric gave no value"),
        detail=reading.detail,
    )


def _samples(value: Any) -> Iterator[float]:
    if value is None:
        return
    for sample in value if isinstance(value, (Sequence, tuple, list)) else (value,):
        yield sample if isinstance(sample, int) else float(sample)


def failure(request: Request, error: str, duration: float, plugins: tuple[str, ...] = ()) -> Measurement:
    """The failed measurement of a request, made where the death was seen."""
    metric = declarations(plugins).metrics.get(request.metric)
    return measurement(request, metric, Reading(None, error=error), duration)
