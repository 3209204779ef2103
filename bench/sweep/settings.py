"""How a run is carried out, and what it reports while it runs; nothing here can change a value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.results.measurement import Measurement

BATCH = 256
"""Static measurements in one process at most: enough to make its start negligible."""


@dataclass(frozen=True)
class Options:
    """How a run is carried out; nothing here can change a value."""

    workers: int = 1
    budget: float = math.inf
    force: bool = False
    replace: bool = False
    allow_noop: str = ""
    notify: Callable[[Any], None] = field(default=lambda event: None)


DEFAULT = Options()


@dataclass(frozen=True)
class Began:
    """Event: so many measurements are to be measured."""

    requests: int


@dataclass(frozen=True)
class Kept:
    """Event: these measurements are in the store."""

    measurements: tuple[Measurement, ...]
