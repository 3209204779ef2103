"""What a variant is measured on: dataset, input shape, device and numeric type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Layout = Literal["contiguous", "channels_last"]


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
