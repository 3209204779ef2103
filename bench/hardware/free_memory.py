"""The memory that a process may still take on a device."""

from __future__ import annotations

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may use."""


def free_bytes(device: str) -> int | None:
    """Bytes that are free now: of a GPU, with those that torch's allocator keeps for later; of a CPU, those that need
    no swapping, within the limit of a container. None for a kind of device that cannot be asked."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    if kind != "cpu":
        return None
    left = left_in_container(CGROUP)
    available = int(psutil.virtual_memory().available)
    return available if left is None else min(available, left)


def left_in_container(folder: Path) -> int | None:
    """Bytes below the limit of the control group (version 2); None where there is no limit."""
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return None
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None
