"""What failed: the error of each failed measurement, and the traceback behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.results.measurement import Record


@dataclass(frozen=True)
class Failure:
    """A failed measurement; `traceback` is empty where no exception was behind it."""

    variant: str
    metric: str
    seed: int | None
    error: str
    traceback: str = ""

    def lines(self, with_traceback: bool) -> Iterator[str]:
        """One line, and the traceback on request."""
        seed = "" if self.seed is None else f" seed {self.seed}"
        yield f"{self.variant} {self.metric}{seed}: {self.error}"
        if with_traceback:
            yield from indented(self.traceback)


def failures_of(records: Iterable[Record]) -> tuple[Failure, ...]:
    """The failed measurements among the records, in their order."""
    rows = [record.measurement for record in records if record.measurement.error is not None]
    return tuple(Failure(m.variant.name, m.metric, m.seed, m.error or "", m.traceback) for m in rows)


def indented(traceback: str) -> list[str]:
    """The lines of a traceback, to be printed under the measurement that it belongs to."""
    return [f"    {line}" for line in traceback.splitlines()]
