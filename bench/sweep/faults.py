"""Whether a job whose process was ended by something else than its network is tried again."""

from __future__ import annotations

from collections import Counter

from bench.sweep.executors import Exit, WorkerError

KILLS = 5
"""So often in a row one measurement is killed by SIGKILL until that counts as its result: it may take all memory."""

FAULTS = 10
"""So often in a row jobs are ended from outside, with no result between, until the run ends."""


class Faults:
    """Counts the faults of one run."""

    def __init__(self) -> None:
        self._kills: Counter[str] = Counter()
        self._in_a_row = 0

    def result(self) -> None:
        """A result has come: the machine works."""
        self._in_a_row = 0

    def again(self, key: str, name: str, end: Exit) -> bool:
        """Whether the measurement `key`, called `name`, is tried again after this end of its job.

        Raises WorkerError where processes are ended from outside again and again.
        """
        if end.fault == "killed":
            self._kills[key] += 1
            return self._kills[key] < KILLS
        self._in_a_row += end.fault == "outside"
        if self._in_a_row == FAULTS:
            raise WorkerError(
                f"worker processes were ended from outside {FAULTS} times in a row, last that of {name} ({end.error})\n"
                "nothing is stored of what they measured: run the same command again to go on, and exclude a variant "
                "that ends its own process"
            )
        return end.fault == "outside"
