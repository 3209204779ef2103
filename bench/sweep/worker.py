"""What runs inside a job's process: measure a network, or train it once and read every metric off the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.hardware.environment import snapshot
from bench.hardware.subject import Subject
from bench.registry import Metric
from bench.registry.catalogue import declarations, live
from bench.registry.errors import DoesNotApplyError
from bench.registry.targets import runnable
from bench.results.encoding import EncodingError, plain, samples_of, storable
from bench.results.keys import Request
from bench.results.measurement import Evaluation, Measurement, Reading
from bench.results.signature import Signature
from bench.spec.recipe import Recipe
from bench.sweep.contributions import contributions, image_count
from bench.sweep.executors import Emit
from bench.sweep.executors.disk import refuse_disk_fault
from bench.sweep.executors.local import described
from bench.sweep.feeding import fed_subject
from bench.sweep.isolation import Isolation, SharedEvaluation, SharedSubject, StateChangedError
from bench.sweep.libraries import refuse_broken_torch
from bench.sweep.process_state import ProcessState
from bench.sweep.scored import scored_output
from bench.sweep.signature import same_speed, signature, values
from bench.sweep.tracebacks import stored_traceback, with_place
from bench.sweep.training_run import trained

FAILURES = (Exception, SystemExit)
"""What foreign code raises that is the failure of one measurement."""


def refuse_machine_fault(error: BaseException) -> None:
    """Raises where the machine is what failed, and no measurement is to blame: its torch, or a disk of it."""
    refuse_broken_torch(error)
    refuse_disk_fault(error)


@dataclass(frozen=True)
class Evaluated:
    """The evaluation of a training run, on its way to the store."""

    training_run: str
    evaluation: Evaluation


@dataclass(frozen=True)
class Imported:
    """All code of a training run is imported, and nothing is trained yet."""

    training_run: str


@dataclass(frozen=True)
class MeasureJob:
    """Static or speed measurements; the measurements of one variant share its network and its recording."""

    requests: tuple[Request, ...]
    plugins: tuple[str, ...] = ()
    attempt: int = 1

    def __call__(self, emit: Emit) -> None:
        for _, requests in groupby(self.requests, key=lambda r: (r.variant, r.workload, r.kind, _own_network(r))):
            self._variant(tuple(requests), emit)

    def _variant(self, requests: tuple[Request, ...], emit: Emit) -> None:
        with ProcessState(numeric_policy(requests[0])) as process:
            self._in_process(requests, process, emit)

    def _in_process(self, requests: tuple[Request, ...], process: ProcessState, emit: Emit) -> None:
        started = time.perf_counter()
        try:
            with process.kept():
                subject = fed_subject(requests[0], self.plugins)
        except FAILURES as error:
            _emit_failures(requests, error, started, emit, self.plugins)
            return
        shared = SharedSubject(subject, process, checked=requests[0].kind != "speed")
        for request in requests:
            emit(measured(request, Isolation(process, shared, request.seed or 0), self.plugins))


def numeric_policy(request: Request) -> dict[str, Any]:
    """The numeric policy under which a request is measured; none for static metrics, which run nothing."""
    return {} if request.kind == "static" else request.workload.numeric


def _own_network(request: Request) -> str:
    """Empty where a metric may share a network with others; a timing moves its weights and may train it."""
    return request.key if request.kind == "speed" else ""


def _emit_failures(
    requests: Sequence[Request], error: BaseException, started: float, emit: Emit, plugins: tuple[str, ...]
) -> None:
    """What all of these measurements need failed: each of them is a row with the error."""
    refuse_machine_fault(error)
    text, traceback = _explained(requests[0], error, plugins), stored_traceback(error)
    seconds = time.perf_counter() - started
    for request in requests:
        emit(replace(failure(request, text, seconds, plugins), traceback=traceback))


def _explained(request: Request, error: BaseException, plugins: tuple[str, ...]) -> str:
    """What happened, and where in the code of the user."""
    return with_place(described(error), error, *_builders(request, plugins))


def _builders(request: Request, plugins: tuple[str, ...]) -> list[Callable[..., Any]]:
    """The builder of the network, where it is registered."""
    declared, name = declarations(plugins).architectures, request.variant.architecture
    return [declared.get(name).call] if name in declared else []


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
        with ProcessState(numeric_policy(self.requests[0])) as process:
            self._in_process(process, emit)

    def _in_process(self, process: ProcessState, emit: Emit) -> None:
        first, *others = self.requests
        started = time.perf_counter()
        try:
            with process.kept():
                subjects = SharedSubject(fed_subject(first, self.plugins), process, checked=False)
        except FAILURES as error:
            _emit_failures((first,), error, started, emit, self.plugins)
            return
        timed = measured(first, Isolation(process, subjects, first.seed or 0), self.plugins)
        emit(timed)
        for request in others if timed.error is None else ():
            started = time.perf_counter()
            if self._same_speed(subjects.view, request):
                emit(shared(timed, request, time.perf_counter() - started))

    def _same_speed(self, subject: Subject, request: Request) -> bool:
        try:
            return same_speed(subject, fed_subject(request, self.plugins))
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
            subject = fed_subject(request, self.plugins)
            return replace(recorded, values=values(subject)) if recorded else signature(request.key, subject)
        except FAILURES as error:
            refuse_machine_fault(error)
            return Signature(request.key, error=described(error))


TRAINING_FACTS = ("mode", "execution", "seconds", "cpu_seconds", "refused", "job_seconds", "steps")
"""What the detail of a score says of the training run."""
FACTS_OF_SOME = ("energy", "initial_weights", "kept_weights")
"""What it says of the energy of the training, of the file that it began with, and of the one that was kept, if any."""


@dataclass(frozen=True)
class TrainJob:
    """One training run: a variant trained from a seed, evaluated, and all its accuracy measurements.

    `evaluation` is what an earlier run stored of this training run; with it nothing is trained. `runs` is the number of
    training runs of this variant in the ablation, which share the admission of a precision mode. `held_back` is the
    fraction of the training split that a search run is judged on, in place of the validation split. `keep` is the
    folder that the trained weights are written to, as `TRAINING_RUN.safetensors`.
    """

    requests: tuple[Request, ...]
    recipe: Recipe
    data: Path | None
    plugins: tuple[str, ...] = ()
    evaluation: Evaluation | None = None
    attempt: int = 1
    runs: int = 1
    held_back: float = 0.0
    keep: Path | None = None

    def __call__(self, emit: Emit) -> None:
        with ProcessState(numeric_policy(self.requests[0])) as process:
            self._in_process(process, emit)

    def _in_process(self, process: ProcessState, emit: Emit) -> None:
        first, started = self.requests[0], time.perf_counter()
        evaluation = self.evaluation
        if evaluation is None:
            try:
                with process.kept():
                    _import_all(first, self.plugins)
                emit(Imported(first.training_run))
                with process.kept():
                    file = self.keep and self.keep / f"{first.training_run}.safetensors"
                    plugins, runs, held_back = self.plugins, self.runs, self.held_back
                    evaluation = trained(first, self.recipe, self.data, emit, plugins, runs, held_back, file)
            except FAILURES as error:
                _emit_failures(self.requests, error, started, emit, self.plugins)
                return
            took = {"job_seconds": time.perf_counter() - started}  # with loading and evaluation, for forecasts
            evaluation = replace(evaluation, facts={**evaluation.facts, **took})
            emit(Evaluated(first.training_run, evaluation))
        training_facts = {key: evaluation.facts.get(key) for key in TRAINING_FACTS}
        training_facts |= {key: evaluation.facts[key] for key in FACTS_OF_SOME if key in evaluation.facts}
        isolated = Isolation(process, SharedEvaluation(evaluation), first.seed or 0)
        for request in self.requests:
            result = _accompanied(measured(request, isolated, self.plugins), isolated, self.plugins)
            spent = result.duration + float(training_facts["job_seconds"] or training_facts["seconds"] or 0)
            emit(storable(replace(result, duration=spent, detail={**result.detail, **training_facts})))


@dataclass(frozen=True)
class TrainJobs:
    """Training runs that share a process; each is watched on its own (`bench.sweep.together`, `watched`)."""

    jobs: tuple[TrainJob, ...]
    plugins: tuple[str, ...] = ()

    @property
    def requests(self) -> tuple[Request, ...]:
        """The measurements of all of them, in their order."""
        return tuple(request for job in self.jobs for request in job.requests)


def _import_all(request: Request, plugins: tuple[str, ...]) -> None:
    """Import what a training run needs, so that what an import changes is put back before the run."""
    declared, work = declarations(plugins), request.workload
    runnable(request.variant.architecture, plugins)
    live(declared.tasks.get(work.task), plugins)
    live(declared.datasets.get(work.dataset), plugins)


def _accompanied(result: Measurement, isolated: Isolation[Evaluation], plugins: tuple[str, ...]) -> Measurement:
    """The measurement with its contributions; failed where the metric changes what others read while it gives them."""
    try:
        with_them: Measurement = isolated(lambda evaluation: _with_contributions(result, evaluation, plugins))
    except StateChangedError as error:
        return replace(result, samples=(), error=described(error))
    return with_them


def _with_contributions(result: Measurement, evaluation: Evaluation, plugins: tuple[str, ...]) -> Measurement:
    """The measurement with what each block of images contributes to it, or with the reason why that is unknown."""
    metric = declarations(plugins).metrics.get(result.metric)
    if not metric.reads_units or not result.samples:
        return result
    try:
        values = contributions(live(metric, plugins).call, evaluation)
        stored = tuple(plain(values, f"the contributions to {metric.name}"))
        images = {"evaluated_images": image_count(evaluation)} if stored else {}
        return replace(result, contributions=stored, detail={**result.detail, **images})
    except Exception as error:
        refuse_disk_fault(error)
        return replace(result, detail={**result.detail, "contributions_error": described(error)})


def measured(request: Request, isolated: Isolation[Any], plugins: tuple[str, ...] = ()) -> Measurement:
    """The measurement of a request: what its metric gave, or the error that it raised, as the store can hold it."""
    started, traceback = time.perf_counter(), ""
    entry = declarations(plugins).metrics.get(request.metric)
    try:
        with isolated.state.kept():
            metric = live(entry, plugins)
        reading = _reading(isolated(metric.call))
    except DoesNotApplyError as error:
        reading = Reading(None, {"does_not_apply": str(error)})
    except FAILURES as error:
        refuse_machine_fault(error)
        traceback = stored_traceback(error)
        reading = Reading(None, error=with_place(described(error), error, entry.call, *_builders(request, plugins)))
    if reading.error is None and not reading.value and not reading.detail:
        reading = Reading(None, error=with_place("failed: the metric gave no value", None, entry.call))
    result = measurement(request, entry, reading, time.perf_counter() - started, traceback)
    if result.error is None and request.kind != "speed":  # beside a timing, no other network may run
        result = replace(result, detail={**result.detail, **scored_output(request.variant, request.workload, plugins)})
    return storable(result)


def _reading(result: Any) -> Reading:
    """The result as a reading whose value is a tuple of samples. Raises EncodingError for what no metric may give."""
    reading = result if isinstance(result, Reading) else Reading(result)
    if not isinstance(reading.detail, Mapping):
        raise EncodingError(f"the detail is of type {type(reading.detail).__name__}; make it a mapping")
    samples = samples_of(reading.value)
    if reading.error is not None and samples:
        raise EncodingError(f"the metric gave both a value and an error ({reading.error}); give one of them")
    return replace(reading, value=samples)


def measurement(
    request: Request, metric: Metric, reading: Reading, duration: float, traceback: str = ""
) -> Measurement:
    """A reading as a measurement; a single number of a static metric is exact."""
    samples = samples_of(reading.value)
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
        error=reading.error,
        detail=reading.detail,
        traceback=traceback,
    )


def failure(request: Request, error: str, duration: float, plugins: tuple[str, ...] = ()) -> Measurement:
    """The failed measurement of a request, made where the death was seen."""
    metric = declarations(plugins).metrics.get(request.metric)
    return storable(measurement(request, metric, Reading(None, error=error), duration))
