"""Precision modes: the arithmetic and the memory layout in which a network is trained."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Mode:
    """An arithmetic (fp32, or bf16 by autocast) and a memory layout (contiguous or channels last)."""

    name: str
    bf16: bool = False
    channels_last: bool = False

    def autocast(self, device: str) -> AbstractContextManager[None]:
        """The context of a forward pass in this mode."""
        return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=self.bf16)

    @property
    def layout(self) -> torch.memory_format:
        """The memory format of 4-d weights and inputs."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


MODES = {
    mode.name: mode
    for mode in (
        Mode("fp32"),
        Mode("channels_last", channels_last=True),
        Mode("bf16", bf16=True),
        Mode("bf16+channels_last", bf16=True, channels_last=True),
    )
}
