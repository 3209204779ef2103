"""The interface of executors, `submit -> Future`: they run jobs on this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Emit = Callable[[Any], None]
Job = Callable[[Emit], None]
Lane = Literal["shared", "exclusive"]

Fault = Literal["", "killed", "outside"]
"""Why the end of a job is no result of its network: nothing, `killed` by an ambiguous signal, or certainly `outside`.

SIGKILL is ambiguous: it comes from a person, or from the kernel when the network takes all memory. So is SIGBUS: of a
fault of the network, or of a full /dev/shm. From outside come other signals that end processes (SIGTERM, SIGHUP, ...),
the death of the processes that start and watch the job, and a disk that is full.
"""


class WorkerError(RuntimeError):
    """Jobs cannot be run on this machine, so that the run ends; no measurement is to blame and none is stored."""


@dataclass(frozen=True)
class Progress:
    """The progress of a long job. A result restarts the job's timeout; progress does not."""

    label: str
    done: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class Exit:
    """How a job ended. `error` is None, or begins with its kind: `timeout:`, `oom:`, `died:`, `failed:`.

    Where `fault` is not empty, the error is not a result of the network: what is left of the job is tried again.
    """

    error: str | None = None
    fault: Fault = ""


class Executor(Protocol):
    """Runs each job in a process of its own, at most `workers` at once. What a job emits reaches `receive` at once, in
    order."""

    workers: int

    def submit(
        self, job: Job, receive: Emit, *, timeout: float, device: str = "cpu", lane: Lane = "shared"
    ) -> Future[Exit]:
        """Run `job(emit)`; the future resolves when everything that the job emitted has been received.

        `timeout` is in seconds since the start, or since the last result. A job in the exclusive lane of a device runs
        while no other job of fovbench, of this run or another, is on that device. The future raises WorkerError where
        no job can be run at all.
        """
        ...

    def stop(self) -> None:
        """End all jobs now."""
        ...
