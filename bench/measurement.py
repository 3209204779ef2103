"""The values that travel `sweep -> metric -> store`: what was measured, and what came out. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bench.registry import Better, text_of

if TYPE_CHECKING:
    import numpy as np

Layout = Literal["contiguous", "channels_last"]


@dataclass(frozen=True)
class Variant:
    """One point of a family: every axis with its value, in the order of the builder's signature.

    `stated` are the axes that whoever asked for it gave a value (an ablation: its baseline and what
    varies). The rest stand at their defaults, so the name determines the variant.
    """

    architecture: str
    axes: tuple[tuple[str, Any], ...]
    stated: tuple[str, ...] = field(default=(), compare=False)

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.axes)

    @property
    def name(self) -> str:
        """Canonical: `fcn(stride=8,skips=true)`."""
        inner = ",".join(f"{k}={text_of(v)}" for k, v in self.axes if k in self.stated)
        return f"{self.architecture}({inner})" if inner else self.architecture


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
class Workload:
    """What a variant is measured on. `shape` is (channels, height, width) in pixels.

    `layout`, `compile` and `graph` (replay of a CUDA graph) say how a forward pass is run where its speed
    is measured; nothing else depends on them. Raises ValueError for a graph on a device that has none.
    """

    task: str
    dataset: str
    dataset_axes: tuple[tuple[str, Any], ...]
    shape: tuple[int, ...]
    batch: int
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    layout: Layout = "contiguous"
    compile: bool = False
    graph: bool = False

    def __post_init__(self) -> None:
        check_graph(self.graph, self.device)

    @property
    def options(self) -> dict[str, Any]:
        """How a forward pass is run, where that is not the plain way."""
        told = {"layout": self.layout, "compile": self.compile, "graph": self.graph}
        return {name: value for name, value in told.items() if value not in (False, "contiguous")}


def check_graph(graph: bool, device: str) -> None:
    """Raises ValueError where a CUDA graph is asked of another device."""
    if graph and not device.startswith("cuda"):
        raise ValueError(f"graph: CUDA graphs need a CUDA device, not '{device}'; leave 'graph' out, or name cuda")


@dataclass(frozen=True)
class Measurement:
    """One cell of the table, measured once: samples as they came, never rounded, or the error.

    `exact` tells a single number that has no spread from samples. `seed` is None where no seed
    plays a part. `duration` is in seconds. `key` is the hash of what the value depends on.
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

    @property
    def value(self) -> float | None:
        """The number itself where it is exact, the median of the samples otherwise; None on error."""
        if not self.samples:
            return None
        ordered = sorted(self.samples)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True)
class Evaluation:
    """What a trained network did on the evaluation split, kept so that any metric can read it later.

    `units`: arrays whose first axis is the evaluation unit (an image, a joint of an image).
    `curves`: arrays over training steps (`step`, `loss`, ...). `samples`: a few inputs, truths and
    outputs for the report (uint8). `names`: the classes or joints. `facts`: JSON: seconds of
    training, the fast mode that ran, known optima of a phantom.
    """

    task: str
    units: Mapping[str, np.ndarray]
    names: tuple[str, ...] = ()
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    samples: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
