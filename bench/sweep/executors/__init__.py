"""Where jobs run: one small interface, `submit -> Future`, behind which a machine or a cluster stands."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Emit = Callable[[Any], None]
Job = Callable[[Emit], None]
Lane = Literal["shared", "exclusive"]


@dataclass(frozen=True)
class Progress:
    """How far a long job is. It does not restart the job's clock, as a result does."""

    label: str
    done: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class Exit:
    """How a job ended. `error` is None, or begins with its sort: `timeout:`, `oom:`, `died:`, `failed:`."""

    error: str | None = None


class Executor(Protocol):
    """Runs jobs in processes of their own. What a job emits reaches `receive` at once, in order."""

    def submit(
        self, job: Job, receive: Emit, *, timeout: float, device: str = "cpu", lane: Lane = "shared"
    ) -> Future[Exit]:
        """Run `job(emit)`; the future resolves when all that it emitted has been received.

        `timeout` is in seconds from the start, or from the last result. Jobs in the exclusive lane
        of a device run while no other job of ours, in this run or another, is on that device.
        """
        ...

    def stop(self) -> None:
        """End all jobs now."""
        ...
