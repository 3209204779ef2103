"""Whether a job whose process was ended by something else than its network is tried again."""

from __future__ import annotations

import math
import time
from collections import Counter

from bench.sweep.executors import Exit, WorkerError

KILLS = 5
"""So often in a row one measurement is killed by SIGKILL or SIGBUS until that counts as its result: it may take all
memory."""

FAULTS = 10
"""So often in a row jobs are ended from outside, with no result between, until the run ends. Jobs that were running
already when another one was ended so count together with it: a node that is lost takes all of its jobs with it."""


class Faults:
    """Counts the faults of one run."""

    def __init__(self) -> None:
        self._kills: Counter[str] = Counter()
        self._in_a_row = 0
        self._latest = -math.inf

    def result(self) -> None:
        """A result has come: the machine works."""
        self._in_a_row = 0

    def again(self, key: str, name: str, end: Exit, started: float) -> bool:
        """Whether the measurement `key`, called `name`, is tried again after this end of its job.

        `started` is the time of the monotonic clock when the job was submitted.

        Raises WorkerError where processes are ended from outside again and again.
        """
        if end.fault == "killed":
            self._kills[key] += 1
            return self._kills[key] < KILLS
        if end.fault == "outside" and started >= self._latest:
            self._in_a_row, self._latest = self._in_a_row + 1, time.monotonic()
        if self._in_a_row == FAULTS:
            raise WorkerError(
                f"jobs were ended from outside {FAULTS} times in a row, last that of {name} ({end.error})\n"
                "nothing is stored of what they measured: run the same command again to go on, and exclude a variant "
                "that ends its own process"
            )
        return end.fault == "outside"
