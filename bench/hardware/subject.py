"""A network about to be measured: built once, recorded once, shared by all metrics of its batch of cells."""

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
    """What static and speed metrics read. `shape` is (C, H, W); `dtype` is torch's name, `float32`.

    `layout`, `compile` and `graph` say how `forward` runs the network; what a network is does not depend on them.
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

        Raises TypeError where the builder makes something else.
        """
        import torch

        from bench.structure.modes import in_eval, in_precision

        torch.manual_seed(self.seed)
        made = self.build()
        if not isinstance(made, torch.nn.Module):
            raise TypeError(f"{type(made).__name__} is no network: a builder returns a torch.nn.Module")
        built = in_precision(self._complete(in_eval(made)), getattr(torch, self.dtype), self.device)
        return built.to(memory_format=torch.channels_last) if self.layout == "channels_last" else built

    @cached_property
    def structure(self) -> torch.nn.Module:
        """The network for whoever reads its structure: in eval mode, random weights on the meta device where they may.

        Masks, tables and frozen parameters have their values; the dtype is that of `model`, device and layout need
        not be. It is `model` where that stands already, or where the constructor computes with its weights.
        """
        import torch

        from bench.structure.modes import in_eval, in_precision
        from bench.structure.unfilled import unfilled

        built = None if "model" in self.__dict__ else unfilled(self.build)
        return self.model if built is None else in_precision(self._complete(in_eval(built)), getattr(torch, self.dtype))

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

        Raises ValueError for channels_last where a batch has not four axes.
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
        """A forward pass on `inputs` as the workload wants it run: eager, compiled, replayed from a CUDA graph.

        It leaves the mode of autograd to its caller. Raises ValueError for a graph on another device.
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
