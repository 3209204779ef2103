"""A network about to be measured: built once, recorded once, shared by all metrics of its batch of cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from bench.structure.tape import Tape


@dataclass(frozen=True)
class Subject:
    """What static and speed metrics read. `shape` is (C, H, W); `dtype` is torch's name, `float32`."""

    build: Callable[[], torch.nn.Module]
    shape: tuple[int, ...]
    batch: int = 1
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    seed: int = 0

    @cached_property
    def model(self) -> torch.nn.Module:
        """The network from its seed, in eval mode, on its device and in its dtype."""
        import torch

        torch.manual_seed(self.seed)
        return self.build().eval().to(self.device, getattr(torch, self.dtype))

    @cached_property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        """One batch of unit-normal input from the seed: (batch, C, H, W)."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        x = torch.randn(self.batch, *self.shape, generator=generator)
        return (x.to(self.device, getattr(torch, self.dtype)),)

    @cached_property
    def tape(self) -> Tape:
        """The network recorded on the meta device at `batch` inputs of `shape`."""
        from bench.structure.tape import record

        return record(self.model, (self.batch, *self.shape))
