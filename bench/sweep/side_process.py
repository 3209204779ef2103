"""One turn of a process in a paired comparison: timed calls of a network on a new memory layout."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.hardware.affinity import allow
from bench.hardware.subject import Subject
from bench.hardware.timing import LOST, Machine, Sample, judged, machine, moved, sample_of
from bench.metrics.latency import tensors_of
from bench.metrics.startup import first_call
from bench.metrics.train_step_latency import Step
from bench.registry.catalogue import declarations, live
from bench.results.encoding import samples_of
from bench.results.keys import Request
from bench.results.measurement import Reading
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.feeding import fed_subject

SECONDS, CALLS = 0.04, 60
"""A turn ends after so many seconds of calls, or so many calls."""

WARMUP = 3
"""Calls before the first turn: they load libraries and compile."""

Result = dict[str, Any]


@dataclass(frozen=True)
class Timed:
    """A call that is timed, the tensors that it reads, and whether it needs autograd."""

    call: Callable[[], object]
    tensors: Callable[[], Iterable[Tensor]] = tuple
    gradients: bool = False


def prepared(
    variant: Variant, workload: Workload, plugins: tuple[str, ...], metric: str, cores: tuple[int, ...]
) -> Callable[[], Result]:
    """The network of a side, built and warm; the result gives one turn: elapsed, cpu, disturbed, trouble.

    A metric that times a call is timed call by call. Of another metric a turn is one measurement: its median, for
    elapsed and CPU time alike. Raises what the network raises, ValueError for a metric that gives no number.
    """
    if cores:
        allow(set(cores))
    torch.set_num_threads(workload.threads)
    subject = fed_subject(Request("", variant, workload, metric, "speed", None), plugins)
    timed = _timed(subject, metric)
    if timed is None:
        return lambda: _measured(subject, metric, plugins)
    with torch.inference_mode(not timed.gradients):
        for _ in range(WARMUP):
            timed.call()
    generator = torch.Generator().manual_seed(os.getpid())
    clock = machine(workload.device)
    return lambda: turn(timed, clock, generator, moves=torch.device(workload.device).type == "cpu")


def _timed(subject: Subject, metric: str) -> Timed | None:
    if metric in ("latency", "throughput"):
        return Timed(subject.forward, lambda: tensors_of(subject))
    if metric == "train_step_latency":
        step = Step.of(subject)
        return Timed(step, step.tensors, gradients=True)
    return Timed(lambda: first_call(subject)) if metric == "startup" else None


def turn(timed: Timed, clock: Machine, generator: torch.Generator, moves: bool) -> Result:
    """Calls on new addresses until SECONDS or CALLS are over; the first call after the move is none of them.

    A call that alone takes as long as a turn needs no other before it.
    """
    with torch.inference_mode(not timed.gradients):
        padding = moved(list(timed.tensors()), generator) if moves else None
        samples = [sample_of(timed.call, clock)]
        if samples[0].elapsed < SECONDS:
            samples = []
        while not samples or (len(samples) < CALLS and sum(s.elapsed for s in samples) < SECONDS):
            samples.append(sample_of(timed.call, clock))
        del padding
    return _result(judged(samples), clock.trouble())


def _result(samples: tuple[Sample, ...], trouble: str) -> Result:
    good = [sample for sample in samples if sample.trouble != LOST]
    used = good or samples
    times = {"elapsed": tuple(s.elapsed for s in used), "cpu": tuple(s.cpu for s in used)}
    return {**times, "disturbed": not good, "trouble": trouble}


def _measured(subject: Subject, metric: str, plugins: tuple[str, ...]) -> Result:
    """One measurement of a metric that is no timed call: memory, or a plug-in's."""
    result = live(declarations(plugins).metrics.get(metric), plugins).call(subject)
    reading = result if isinstance(result, Reading) else Reading(result)
    samples = samples_of(reading.value)
    if not samples:
        raise ValueError(f"{metric} gave no value{f': {reading.error}' if reading.error else ''}")
    return {"elapsed": samples, "cpu": samples}
