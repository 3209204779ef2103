"""The network under test: built once, recorded once, shared by all metrics that are measured on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.spec.workload import Layout, check_graph

if TYPE_CHECKING:
    import torch

    from bench.structure.tape import Tape


@dataclass(frozen=True)
class Subject:
    """What static and speed metrics read. `shape` is (C, H, W); `dtype` is torch's name, such as `float32`.

    `layout`, `compile` and `graph` say how `forward` runs the network; they do not change its structure.
    """

    build: Callable[[], torch.nn.Module]
    shape: tuple[int, ...]
    batch: int = 1
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    seed: int = 0
    layout: Layout = "contiguous"
    compile: bool = False
    graph: bool = False

    @cached_property
    def model(self) -> torch.nn.Module:
        """The network from its seed, in eval mode, on its device, in its dtype and memory layout.

        Raises TypeError where the builder returns something else.
        """
        import torch

        from bench.structure.modes import in_eval, in_precision, moved

        torch.manual_seed(self.seed)
        network = self.build()
        if not isinstance(network, torch.nn.Module):
            raise TypeError(f"the builder returned a {type(network).__name__}; it must return a torch.nn.Module")
        built = in_precision(self._complete(in_eval(network)), getattr(torch, self.dtype), self.device)
        return moved(built, layout=torch.channels_last) if self.layout == "channels_last" else built

    @cached_property
    def structure(self) -> torch.nn.Module:
        """The network for metrics that read its structure: in eval mode, its random weights on the meta device.

        Masks, tables and frozen parameters have their values. The dtype is that of `model`; device and layout may
        differ. It is `model` itself where that is built already, or where the constructor computes with its weights.
        """
        import torch

        from bench.structure.modes import in_eval, in_precision
        from bench.structure.unfilled import unfilled

        network = None if "model" in self.__dict__ else unfilled(self.build)
        if network is None:
            return self.model
        return in_precision(self._complete(in_eval(network)), getattr(torch, self.dtype))

    def _complete(self, model: torch.nn.Module) -> torch.nn.Module:
        """The network with the parameters of its lazy layers, if it has any."""
        import torch

        from bench.structure.lazy import has_lazy_parts, materialise

        if has_lazy_parts(model):
            materialise(model, [torch.empty(1, *self.shape, device="meta")])
        return model

    @cached_property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        """One batch of unit-normal input from the seed, in the layout of the network: (batch, C, H, W).

        Raises ValueError for channels_last where the shape is not (C, H, W).
        """
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        x = torch.randn(self.batch, *self.shape, generator=generator).to(self.device, getattr(torch, self.dtype))
        if self.layout == "contiguous":
            return (x,)
        if x.ndim != 4:
            raise ValueError(f"layout: channels_last needs an input of shape C,H,W, not {self.shape}")
        return (x.contiguous(memory_format=torch.channels_last),)

    @cached_property
    def forward(self) -> Callable[[], Any]:
        """A forward pass on `inputs` as the workload states: eager, compiled, or replayed from a CUDA graph.

        The caller sets the mode of autograd. Raises ValueError for a CUDA graph on another device.
        """
        import torch

        check_graph(self.graph, self.device)
        network = torch.compile(self.model) if self.compile else self.model
        inputs = self.inputs
        if not self.graph:
            return lambda: network(*inputs)
        from bench.hardware.nvidia import replayed

        return replayed(lambda: network(*inputs), self.device)

    @cached_property
    def tape(self) -> Tape:
        """The network recorded on the meta device at `batch` inputs of `shape`."""
        from bench.structure.tape import record

        return record(self.structure, (self.batch, *self.shape))
