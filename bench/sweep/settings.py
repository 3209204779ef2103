"""How a run is carried out, and what it reports while it runs; nothing here can change a value."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.results.measurement import Measurement
from bench.sweep.placing import Cards

BATCH = 256
"""Static measurements in one process at most: enough to make its start negligible."""


@dataclass(frozen=True)
class Options:
    """How a run is carried out; nothing here can change a value.

    `budget` is in seconds. `replace` puts new measurements in place of stored ones. `allow_noop` is a person's
    reason to keep two variants that are the same network; `check_noop` looks for such. `notify` receives the events.
    `keep_weights` keeps the trained weights of each training run. `cards` are those that training runs are given to,
    one each, where there are several. `trainings` is how many of the `workers` may train at once; None: all. `pause`
    waits some seconds before the store is tried again.
    """

    workers: int = 1
    budget: float = math.inf
    force: bool = False
    replace: bool = False
    allow_noop: str = ""
    check_noop: bool = True
    keep_weights: bool = False
    cards: Cards = field(default_factory=Cards)
    trainings: int | None = None
    notify: Callable[[Any], None] = field(default=lambda event: None)
    pause: Callable[[float], None] = time.sleep


DEFAULT = Options()


@dataclass(frozen=True)
class Work:
    """Key of a measurement -> its seconds while others run beside it; label of a training run -> its seconds.

    Not `in_seconds`, the numbers are relative: nothing is known of what they take.
    """

    keys: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, float] = field(default_factory=dict)
    in_seconds: bool = False


@dataclass(frozen=True)
class Began:
    """Event: this many measurements are about to be made, and what they will take."""

    requests: int
    work: Work = field(default_factory=Work)


@dataclass(frozen=True)
class Kept:
    """Event: these measurements are stored."""

    measurements: tuple[Measurement, ...]
