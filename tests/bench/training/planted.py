"""Layers with a fault planted: right in fp32, wrong or deadly in a precision mode. Loaded by path, as a plug-in is."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import torch
from torch import Tensor, nn


def is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class _DoubledGradient(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, wrong: bool) -> Tensor:
        context.wrong = wrong
        return x * 1

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * (2 if context.wrong else 1), None


class Right(nn.Module):
    """Scales its input, rightly; its weight starts at zero, so that nothing shows unless others are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class WrongInBf16(Right):
    """The gradient of the weight comes out double in bf16."""

    def forward(self, x: Tensor) -> Tensor:
        return x * _DoubledGradient.apply(self.weight, x.dtype == torch.bfloat16)


class WrongInBf16ChannelsLast(Right):
    """The gradient of the input comes out double in bf16 and channels-last layout."""

    def forward(self, x: Tensor) -> Tensor:
        return _DoubledGradient.apply(x, x.dtype == torch.bfloat16 and is_channels_last(x)) * self.weight


class WrongLater(Right):
    """Right once, then wrong, in bf16: as a kernel that reads memory nobody wrote may be."""

    runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += x.dtype == torch.bfloat16
        return x * self.weight * (2 if self.runs > 1 else 1)


class Kills(Right):
    """Kills its process in channels-last layout."""

    def forward(self, x: Tensor) -> Tensor:
        if is_channels_last(x):
            os.kill(os.getpid(), signal.SIGSEGV)
        return x * self.weight


class Raises(Right):
    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16:
            raise TypeError("no bf16 here")
        return x * self.weight


class Hangs(Right):
    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16:
            time.sleep(3600)
        return x * self.weight


class Unsendable(Right):
    """Holds what cannot be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = lambda x: x * self.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(x)
