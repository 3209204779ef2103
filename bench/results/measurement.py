"""The values that travel `sweep -> metric -> store`: what was measured, and what came out. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.registry import Better
from bench.spec.variant import Variant
from bench.spec.workload import Workload

if TYPE_CHECKING:
    import numpy as np


EARLIER = "earlier_processes"
"""What the detail of a speed calls the medians that other processes gave before, for the same key."""


@dataclass(frozen=True)
class Reading:
    """What a metric returns: one number (exact), or a list of samples, and what explains them.

    `detail` is JSON: the coverage of a count, a field's paths, IoU by class. `error` in a
    reading means that the metric knows that it could not be measured, and why. A static number that
    comes of floating-point arithmetic on data is not `exact`: another machine may differ in the last digit.
    """

    value: float | Sequence[float] | None
    detail: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    exact: bool = True


@dataclass(frozen=True)
class Measurement:
    """One number of one variant, metric and seed, measured once: samples as they came, never rounded, or the error.

    `exact` tells a single number that has no spread from samples. `seed` is None for what does not depend on a seed.
    `duration` is in seconds. `key` is the hash of what the value depends on. `contributions` are the jackknife
    pseudovalues of blocks of images (Busing et al. 1999), for a metric that reads them: their spread is the noise of
    evaluation. `traceback` is the text of the exception behind an error, empty where there was none. `files` are the
    files that were opened while the value was made and that the key does not name: path -> digest of the content.
    """

    key: str
    variant: Variant
    workload: Workload
    metric: str
    unit: str
    better: Better
    samples: tuple[float, ...]
    exact: bool
    seed: int | None
    duration: float
    environment: Mapping[str, Any]
    error: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    contributions: tuple[float, ...] = ()
    traceback: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        """The number itself where it is exact, the median of the samples otherwise; None on error."""
        if not self.samples:
            return None
        ordered = sorted(self.samples)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True)
class Record:
    """A measurement as it is stored: with its metric's kind, and when it was made (ISO 8601, UTC).

    `conditions` are the settings that its value depends on besides variant, metric, seed and code: input shape, recipe,
    dataset, numeric type, machine. Numbers under different conditions are never compared. `versions` are the digests of
    the code and the versions of the libraries that made it; a bundle does not record them.
    """

    measurement: Measurement
    kind: str
    created: str
    conditions: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What a trained network did on the evaluation split, kept so that any metric can read it later.

    `units`: arrays whose first axis is the evaluation unit (an image, a joint of an image).
    `curves`: arrays over training steps (`step`, `loss`, ...).
    `samples`: a few inputs, truths and outputs for the report (uint8).
    `summaries`: small arrays that figures read, computed from `units` when the network was evaluated, so that a
    report needs neither the units nor the dataset.
    `names`: the classes or joints.
    `facts`: JSON: seconds of training, the precision mode that ran, known optima of a synthetic dataset.
    """

    task: str
    units: Mapping[str, np.ndarray]
    names: tuple[str, ...] = ()
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    samples: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    summaries: Mapping[str, np.ndarray] = field(default_factory=dict)
