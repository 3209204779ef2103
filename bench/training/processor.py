"""Whether a device computes in a precision mode itself, or would have to emulate it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bench.training.modes import Mode

BF16_ON_CUDA = 8
"""The compute capability (major number) from which NVIDIA's devices have bf16 instructions."""


def why_not(mode: Mode, device: str) -> str | None:
    """Why the mode is not worth trying on the device: it has no instructions for it. None where it has them."""
    if not mode.bf16:
        return None
    kind = torch.device(device).type
    if kind == "cuda":
        return _cuda_refusal(torch.cuda.get_device_capability(device))
    return _cpu_refusal(torch.cpu.get_capabilities()) if kind == "cpu" else None


def _cuda_refusal(capability: tuple[int, int]) -> str | None:
    if capability[0] >= BF16_ON_CUDA:
        return None
    return f"not tried: the device has no bf16 instructions (compute capability {capability[0]}.{capability[1]})"


def _cpu_refusal(capabilities: Mapping[str, Any]) -> str | None:
    """torch names what the processor can do; where no name has bf16 in it, nothing is known and nothing refused."""
    names = [name for name in capabilities if "bf16" in name]
    if not names or any(capabilities[name] for name in names):
        return None
    return f"not tried: the processor has no bf16 instructions ({', '.join(sorted(names))})"
