"""Storing what was measured although the store is locked or its disk is full: wait, try again, then write a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bench.results.measurement import Measurement
from bench.results.packing import packed
from bench.results.spill import Spilled, write
from bench.results.store import Store, row_of
from bench.results.storefile import StoreError, StoreUnavailable
from bench.sweep.worker import Evaluated

T = TypeVar("T")

MeasuredRow = tuple[Measurement, str, Mapping[str, Any]]
"""A measurement, the kind of its metric, the parts of its key."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds between attempts to write, besides those that each attempt waits for a lock."""


class NotStored(StoreError):  # noqa: N818 - the name says what happened
    """Results are in a file, since the store could not be written."""


def patiently(attempt: Callable[[], T], say: Callable[[str], None], pause: Callable[[float], None] = time.sleep) -> T:
    """The result of `attempt`, tried again with growing pauses while the store is unavailable; says so once.

    Raises StoreUnavailable after the last attempt, any other error at once.
    """
    for number, seconds in enumerate(PAUSES):
        try:
            return attempt()
        except StoreUnavailable as error:
            if number == 0:
                say(f"{error}; what was measured is kept, and storing it is tried again for some minutes")
            pause(seconds)
    return attempt()


def spill(
    store: Store,
    rows: Sequence[MeasuredRow],
    evaluated: Sequence[Evaluated],
    replaces: Callable[[str], bool],
    reason: object,
) -> NotStored:
    """Write results to a file in place of the store; the error that says where. Raises StoreError if they are lost.

    `replaces` says of a key, of a measurement or a training run, whether its result takes the place of a stored one.
    """
    parts = [_spilled(store.now(), rows, evaluated, replaces, again) for again in (False, True)]
    number = sum(map(len, parts))
    try:
        path = write(store.path, *parts)
    except OSError as error:
        raise StoreError(f"{reason}\n{number} results are lost: no folder can be written ({error})") from None
    return NotStored(f"{reason}; {number} results are in {path}\nthe next bench run with this store takes them in")


def _spilled(
    created: str,
    rows: Sequence[MeasuredRow],
    evaluated: Sequence[Evaluated],
    replaces: Callable[[str], bool],
    again: bool,
) -> Spilled:
    """Those of the results that take the place of stored ones, or those that do not."""
    chosen = tuple(row_of(m, kind, parts, created) for m, kind, parts in rows if replaces(m.key) == again)
    runs = (item for item in evaluated if replaces(item.training_run) == again)
    return Spilled(chosen, tuple((item.training_run, *packed(item.evaluation)) for item in runs), again)
