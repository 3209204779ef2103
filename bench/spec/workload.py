"""The workload: dataset, input shape, device and numeric type that a variant is measured with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bench.spec.numeric import DEFAULTS, TF32, in_key

Layout = Literal["contiguous", "channels_last"]


@dataclass(frozen=True)
class Workload:
    """What a variant is measured on. `shape` is (channels, height, width) in pixels.

    `layout`, `compile` and `graph` (replay of a CUDA graph) are how a forward pass is run where its speed is measured;
    nothing else depends on them. The fields after them are the numeric policy (`bench.spec.numeric`), which holds for
    training too. Raises ValueError for a CUDA graph on a device that is not CUDA.
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
    tf32: TF32 = "conv"
    cudnn_benchmark: bool = False
    deterministic: bool = False
    reduced_precision_reduction: bool = True

    def __post_init__(self) -> None:
        check_graph(self.graph, self.device)

    @property
    def numeric(self) -> dict[str, Any]:
        """The numeric policy: on CUDA all of it, elsewhere what has an effect and is not PyTorch's default."""
        return in_key({name: getattr(self, name) for name in DEFAULTS}, self.device)

    @property
    def options(self) -> dict[str, Any]:
        """`layout`, `compile` and `graph` where they are not at their defaults, and the numeric policy."""
        options = {"layout": self.layout, "compile": self.compile, "graph": self.graph}
        return {name: value for name, value in options.items() if value not in (False, "contiguous")} | self.numeric


def check_graph(graph: bool, device: str) -> None:
    """Raises ValueError where a CUDA graph is requested on a device that is not CUDA."""
    if graph and not device.startswith("cuda"):
        raise ValueError(f"graph: CUDA graphs need a CUDA device, not '{device}'; leave 'graph' out, or name cuda")
