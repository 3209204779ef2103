"""Which training runs share a process, one after the other.

A process costs about 0.1 s, which is much beside a training run of half a second. A training run that may leave
something behind has a process of its own: one of a plug-in, of a network of a zoo, of a function or weights that a file
holds, on another device than the CPU, compiled, or with a budget of time. What is left is code of ours only, which
keeps nothing between two calls (`tests/bench/sweep/test_together.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median_low
from typing import TypeVar

from bench.registry.catalogue import declarations
from bench.registry.targets import declared
from bench.results.keys import Request
from bench.results.sources import OURS
from bench.spec.losses import is_own
from bench.sweep.worker import TrainJob, TrainJobs

SECONDS = 5.0
"""What the training runs of a process take together at most, if each takes as long as those so far."""

MOST = 32
"""Training runs of a process at most, so that memory that a library does not give back stays small."""

J = TypeVar("J")


def taken(pending: deque[J], workers: int, durations: Sequence[float], may_share: Callable[[J], bool]) -> tuple[J, ...]:
    """Take from `pending` the jobs of the next process: one, or several that may share it.

    `durations` are those of the jobs so far, in seconds; the first one tries precision modes, so that their median
    counts. Without any, a job stays alone. At the end of a run processes have fewer jobs, so that all workers end
    together.
    """
    share = len(pending) // (2 * workers)
    at_most = min(share, MOST, int(SECONDS / median_low(durations))) if durations else 1
    jobs = [pending.popleft()]
    if at_most > 1 and may_share(jobs[0]):
        while len(jobs) < at_most and may_share(pending[0]):
            jobs.append(pending.popleft())
    return tuple(jobs)


def series(jobs: Sequence[TrainJob]) -> TrainJobs:
    """The training runs as one job, without the plug-ins of their ablation, which none of them uses."""
    return TrainJobs(tuple(replace(job, plugins=()) for job in jobs))


def leaves_nothing(job: TrainJob) -> bool:
    """Whether nothing of a training run stays in its process, so that another may follow in it."""
    recipe = job.recipe
    ordinary = recipe.seconds is None and recipe.weights is None and recipe.execution in ("auto", "eager")
    new = job.evaluation is None and job.attempt == 1
    return ordinary and new and not is_own(recipe.loss) and all(_is_ours(each, job.plugins) for each in job.requests)


def _is_ours(request: Request, plugins: tuple[str, ...]) -> bool:
    """Whether all code that a measurement needs is ours, and runs on the CPU."""
    work, registered = request.workload, declarations(plugins)
    values = (request.variant.architecture, *request.variant.values.values(), work.task, work.dataset)
    if work.device != "cpu" or any(":" in str(value) for value in values):  # a network of a zoo or of a file
        return False
    entries = (
        declared(request.variant.architecture, plugins),
        registered.metrics.get(request.metric),
        registered.tasks.get(work.task),
        registered.datasets.get(work.dataset),
    )
    return all(entry.module.split(".")[0] in OURS for entry in entries)
