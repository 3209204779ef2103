"""The progress of a run: a live line with the time left on a terminal, a plain line for each tenth in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.results.measurement import Measurement
from bench.spec.characters import printable
from bench.sweep.executors import Progress
from bench.sweep.settings import Began, Kept, Work


class Reporter:
    """Prints the events of a run to stderr. `verbosity`: -1 how many failed, 0 the progress, 1 each measurement too."""

    def __init__(self, title: str, verbosity: int = 0) -> None:
        self.verbosity = verbosity
        self.title, self.total, self.done, self.failed = title, 0, 0, 0
        self.started = time.monotonic()
        self.left = Remaining(Work())
        self.tenths = -1
        self._errors: set[str] = set()
        self._live: Any = None
        self._tasks: dict[str, Any] = {}

    def __call__(self, event: Any) -> None:
        if isinstance(event, Began):
            self.total, self.left = event.requests, Remaining(event.work)
            self.done, self.tenths = 0, -1
            self.started = time.monotonic()
            self._open()
        elif isinstance(event, Kept):
            self.done += len(event.measurements)
            self.left.keep([measurement.key for measurement in event.measurements])
            for measurement in event.measurements:
                if measurement.error:
                    self._fail(measurement)
                elif self.verbosity > 0:
                    self.say(_stored(measurement))
            if self.verbosity >= 0:
                self._advance()
        elif isinstance(event, Progress) and self.verbosity >= 0:
            self._training_run(event)

    def _fail(self, measurement: Measurement) -> None:
        """Say an error the first time, while the run goes on (its end counts all that have it), or each time."""
        self.failed += 1
        error = measurement.error or ""
        if self.verbosity > 0 or (error not in self._errors and self.verbosity >= 0):
            self._errors.add(error)
            self.say(f"{measurement.variant.name} {measurement.metric}: {error}")

    def say(self, text: str) -> None:
        """Print one line that stays on the terminal; control characters in it are escaped."""
        text = printable(text)
        if self._live:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _open(self) -> None:
        if not self.total or self.verbosity < 0:
            return
        if not sys.stderr.isatty():
            self.say(f"{self.title}: {self.total} measurement{'s' * (self.total != 1)} to make")
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._live = Bars(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True), transient=True)
        self._live.start()
        self._tasks[""] = self._live.add_task(self.title, total=self.total, note="")

    def _advance(self) -> None:
        if self._live:
            self._live.update(self._tasks[""], completed=self.done, note=self._note())
            return
        tenth = 10 * self.done // max(self.total, 1)
        if tenth > self.tenths:
            self.tenths = tenth
            self.say(f"{self.title}: {self.done} of {self.total} measurements{self._time_left()}")

    def _time_left(self) -> str:
        spent = time.monotonic() - self.started
        left = self.left.seconds(spent) if self.done < self.total else None
        return f", {seconds_text(spent)}" if left is None else f", about {seconds_text(left)} left"

    def _note(self) -> str:
        """Behind the bar on a terminal."""
        left = self.left.seconds(time.monotonic() - self.started) if self.done < self.total else None
        parts = (
            f"about {seconds_text(left)} left" if left is not None else "",
            f"{self.failed} failed" * bool(self.failed),
        )
        return ", ".join(part for part in parts if part)

    def _training_run(self, event: Progress) -> None:
        self.left.advance(event)
        if not event.total:
            self.say(f"{self.title}: {event.label}")
            return
        if not self._live:
            self._log_training_run(event)
            return
        if event.label not in self._tasks:
            self._tasks[event.label] = self._live.add_task(f"  {event.label}", total=event.total, note="")
        self._live.update(self._tasks[event.label], completed=event.done, note=event.note)
        self._live.update(self._tasks[""], note=self._note())
        if event.done >= event.total:
            self._live.remove_task(self._tasks.pop(event.label))

    def _log_training_run(self, event: Progress) -> None:
        tenth = 10 * event.done // max(event.total, 1)
        if tenth > self._tasks.get(event.label, 0):
            self._tasks[event.label] = tenth
            self.say(f"  {event.label}: step {event.done} of {event.total}, {event.note}")


def _stored(measurement: Measurement) -> str:
    """`fcn(stride=8) miou seed 1: 0.4512 in 3 s`."""
    seed = "" if measurement.seed is None else f" seed {measurement.seed}"
    number = "no single number" if measurement.value is None else f"{measurement.value:.6g} {measurement.unit}".rstrip()
    return f"{measurement.variant.name} {measurement.metric}{seed}: {number} in {seconds_text(measurement.duration)}"


PRIOR = 0.1
"""The part of the forecast that counts as work that took as long as forecast: the first results say little."""
EARLY = 0.25
"""The part of a run without forecast that is done before the time left is said: the start is in the first result."""


class Remaining:
    """The time left of a run, by the work that is done; training runs that go on count by their steps."""

    def __init__(self, work: Work) -> None:
        self.work, self.pending = work, dict(work.keys)
        self.total = sum(self.pending.values())
        self.running: dict[str, float] = {}

    def keep(self, keys: Sequence[str]) -> None:
        """These measurements are stored."""
        for key in keys:
            self.pending.pop(key, None)

    def advance(self, event: Progress) -> None:
        """A training run has made some of its steps; once it has made all, its measurements follow at once."""
        if event.total and event.label in self.work.labels:
            self.running[event.label] = event.done / event.total
            if event.done >= event.total:
                del self.running[event.label]

    def seconds(self, spent: float) -> float | None:
        """Seconds left after `spent`; None where nothing was forecast and little is done."""
        partly = sum(self.work.labels[label] * fraction for label, fraction in self.running.items())
        left = max(0.0, sum(self.pending.values()) - partly)
        prior = PRIOR * self.total if self.work.in_seconds else 0.0
        done = self.total - left
        if not prior and (not done or done < EARLY * self.total):
            return None
        return left * (spent + prior) / (done + prior)


def rough_text(seconds: float) -> str:
    """A forecast, in steps that suit how well it is known: seconds below two minutes, minutes below two hours."""
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} m" if seconds < 7200 else seconds_text(1800 * round(seconds / 1800))


def seconds_text(seconds: float) -> str:
    """`45 s`, `12 m 30 s`, `3 h 5 m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} m"
