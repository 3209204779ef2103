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
from bench.hardware.subject import Subject
from bench.registry import Metric
from bench.registry.cache import cache_folder
from bench.registry.catalogue import declarations, live
from bench.registry.targets import runnable
from bench.results.keys import Request
from bench.results.measurement import Evaluation, Measurement, Reading
from bench.results.signature import Signature
from bench.spec.recipe import Recipe
from bench.spec.workload import Workload
from bench.sweep.contributions import contributions
from bench.sweep.executors import Emit, Progress
from bench.sweep.executors.local import described
from bench.sweep.signature import same_speed, signature, values


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
        subject = _subject(requests[0], self.plugins)
        for request in requests:
            emit(measured(request, lambda metric: metric.call(subject), self.plugins))


def _subject(request: Request, plugins: tuple[str, ...]) -> Subject:
    family = runnable(request.variant.architecture, plugins)
    work = request.workload
    shared: dict[str, Any] = {"build": lambda: family.build(**request.variant.values), "shape": work.shape}
    if request.kind == "static":
        return Subject(**shared)
    where: dict[str, Any] = {"batch": work.batch, "device": work.device, "dtype": work.dtype, "threads": work.threads}
    return Subject(**shared, **where, layout=work.layout, compile=work.compile, graph=work.graph)


@dataclass(frozen=True)
class SharedJob:
    """A speed of several variants whose graphs are equal: the first is timed, and the others have its timing.

    A graph has tensor operations only. A variant whose calls take another time, since it sleeps or waits, is left
    undone, and so are all others where the first cannot be timed: each is then measured on its own.
    """

    requests: tuple[Request, ...]
    plugins: tuple[str, ...] = ()
    attempt: int = 1

    def __call__(self, emit: Emit) -> None:
        first, *others = self.requests
        subject = _subject(first, self.plugins)
        timed = measured(first, lambda metric: metric.call(subject), self.plugins)
        emit(timed)
        for request in others if timed.error is None else ():
            started = time.perf_counter()
            if self._same_speed(subject, request):
                emit(shared(timed, request, time.perf_counter() - started))

    def _same_speed(self, subject: Subject, request: Request) -> bool:
        try:
            return same_speed(subject, _subject(request, self.plugins))
        except Exception:  # such as two networks that do not fit side by side: what it is shows where it runs alone
            return False


def shared(timed: Measurement, request: Request, duration: float) -> Measurement:
    """The timing of one variant as that of another with the same graph; the detail names the one that was timed."""
    detail = {**timed.detail, "shared_with": timed.variant.name, "shared_because": "same graph"}
    return replace(timed, key=request.key, variant=request.variant, duration=duration, detail=detail)


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
            subject = _subject(request, self.plugins)
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


def trained(
    request: Request, recipe: Recipe, data: Path | None, emit: Emit, plugins: tuple[str, ...] = ()
) -> Evaluation:
    """Train the variant by `recipe` from the requested seed and evaluate it on the validation split."""
    import torch

    from bench.training.loop import fit

    work, declared = request.workload, declarations(plugins)
    family = runnable(request.variant.architecture, plugins)
    task: Any = live(declared.tasks.get(work.task), plugins).call
    seed = request.seed or 0
    train, held_out = (_examples(request, split, data, plugins) for split in _splits(request, plugins))
    torch.manual_seed(seed)
    network = family.build(**request.variant.values)
    label = f"{request.variant.name} seed {seed}"
    result = fit(
        network,
        task,
        train,
        recipe,
        seed=seed,
        device=work.device,
        threads=work.threads,
        progress=lambda step, steps, loss: emit(Progress(label, step, steps, f"loss {loss:.4g}")),
        cache=cache_folder(),
    )
    evaluation: Evaluation = task.evaluate(result.model, held_out, work.device, result.mode)
    took = {"seconds": result.seconds, "cpu_seconds": result.cpu_seconds, "steps": result.steps}
    seen = {"effective_receptive_field": _seen(result.model, held_out, task, work)}
    units, errors = _offered(result.model, held_out, task, work)
    facts = {**evaluation.facts, "mode": result.mode, "refused": dict(result.refused), **took, **seen, **errors}
    evaluation = replace(evaluation, units={**evaluation.units, **units}, curves=result.curves, facts=facts)
    return replace(evaluation, summaries=task.summaries(evaluation) if hasattr(task, "summaries") else {})


OFFERED = "evaluation_units"
"""A network's own function `(prepared images, targets) -> {name: array, an entry an image}`, for metrics of its own.

It is called after training, on the validation split, and is the only place where a network meets the truth.
"""


def _offered(model: Any, examples: Any, task: Any, work: Workload, batch: int = 16) -> tuple[dict[str, Any], Any]:
    """(what the network offers to be kept of every image, facts): nothing, and the error, where it fails."""
    if not hasattr(model, OFFERED):
        return {}, {}
    try:
        return _collected(model, examples, task, work, batch), {}
    except Exception as error:
        return {}, {OFFERED: {"error": described(error)}}


def _collected(model: Any, examples: Any, task: Any, work: Workload, batch: int) -> dict[str, Any]:
    import numpy as np
    import torch

    parts: list[dict[str, Any]] = []
    with torch.inference_mode():
        for start in range(0, len(examples), batch):
            chosen = slice(start, start + batch)
            images = task.prepare(examples.images[chosen].to(work.device))
            parts.append(getattr(model, OFFERED)(images, {n: t[chosen] for n, t in examples.targets.items()}))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


SEEN = 8
"""Images that the trained network is asked about, one forward and backward pass each."""


def _seen(model: Any, examples: Any, task: Any, work: Workload) -> dict[str, Any]:
    """The trained network's effective receptive field on a few images, or the error: never the training run's end."""
    from bench.hardware.stopwatch import thread_count
    from bench.metrics.effective_receptive_field import trained_field

    try:
        chosen = examples.images[:: -(-len(examples.images) // SEEN)].to(work.device)
        with thread_count(work.threads):
            return trained_field(model, task.prepare(chosen), work.device)
    except Exception as error:
        return {"error": described(error)}


def _splits(request: Request, plugins: tuple[str, ...]) -> Sequence[str]:
    """The split to train on and the one to judge on: the first and the second that the dataset names."""
    return declarations(plugins).datasets.get(request.workload.dataset).splits[:2]


def _examples(request: Request, split: str, data: Path | None, plugins: tuple[str, ...]) -> Any:
    dataset = live(declarations(plugins).datasets.get(request.workload.dataset), plugins)
    return dataset.call(data, split, request.workload.shape, **dict(request.workload.dataset_axes))


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
