"""What failed: the error of each failed measurement, and the traceback behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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

    def lines(self, with_traceback: bool, count: int = 1) -> Iterator[str]:
        """One line, and the traceback on request; `count` measurements have this error."""
        seed = "" if self.seed is None else f" seed {self.seed}"
        others = f" and {count - 1} more" if count > 1 else ""
        yield f"{self.variant} {self.metric}{seed}{others}: {self.error}"
        if with_traceback:
            yield from indented(self.traceback)


def grouped(failures: Sequence[Failure]) -> Iterator[tuple[Failure, int]]:
    """The first of the failures with the same error, and how many they are, in the order of the first ones."""
    counts = Counter(failure.error for failure in failures)
    firsts: dict[str, Failure] = {}
    for failure in failures:
        firsts.setdefault(failure.error, failure)
    yield from ((failure, counts[error]) for error, failure in firsts.items())


def failures_of(records: Iterable[Record]) -> tuple[Failure, ...]:
    """The failed measurements among the records, in their order."""
    rows = [record.measurement for record in records if record.measurement.error is not None]
    return tuple(Failure(m.variant.name, m.metric, m.seed, m.error or "", m.traceback) for m in rows)


def indented(traceback: str) -> list[str]:
    """The lines of a traceback, to be printed under the measurement that it belongs to."""
    return [f"    {line}" for line in traceback.splitlines()]
