"""What a device can do at best, measured: matrix products per dtype, and copies by how much is copied.

The best of several tries is taken: a ceiling is what was reached once. FLOPs of a product of two n x n
matrices: 2 n^3; bytes of a copy: those read and those written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from bench.hardware.affinity import pinned
from bench.hardware.stopwatch import Call, lap, thread_count
from bench.structure.traffic import Work

PRODUCTS: Mapping[str, Sequence[int]] = {"cpu": (256, 512, 1024), "cuda": (2048, 4096, 8192)}
"""Sides of the matrices."""
COPIES: Mapping[str, Sequence[int]] = {
    "cpu": (2**16, 2**19, 2**22, 2**25, 2**28),
    "cuda": (2**22, 2**25, 2**28, 2**31),
}
"""Bytes read and written, together: from what fits a core's own cache to what fits none."""

Press = Callable[[Call], float]
"""Runs a call and gives its seconds."""


@dataclass(frozen=True)
class Ceilings:
    """`flops` per second in `dtype`; `bandwidths`: (bytes moved, bytes per second), the smallest copy first."""

    device: str
    dtype: str
    threads: int
    flops: float
    bandwidths: tuple[tuple[int, float], ...]

    @property
    def bandwidth(self) -> float:
        """Bytes per second of the largest copy, which no cache holds."""
        return self.bandwidths[-1][1]

    def bandwidth_of(self, moved: int) -> float:
        """The fastest that so many bytes were, or could have been, moved: the best of all copies as large or larger.

        Between two sizes that of the smaller one holds, so that the ceiling is not too low.
        """
        smaller = [size for size, _ in self.bandwidths if size <= moved]
        least = smaller[-1] if smaller else 0
        return max(rate for size, rate in self.bandwidths if size >= least)

    def seconds(self, work: Work) -> float:
        """The shortest time for an operator: to compute, or to move its bytes, whichever takes longer."""
        return max(self.computing(work), work.moved / self.bandwidth_of(work.moved) if work.moved else 0.0)

    def computing(self, work: Work) -> float:
        """The shortest time to compute an operator's FLOPs."""
        return work.flops / self.flops


def allowed(ceilings: Ceilings, works: Iterable[Work]) -> float:
    """Seconds that the ceilings allow for operators one after the other."""
    return math.fsum(ceilings.seconds(work) for work in works)


def measured(device: str, dtype: str, threads: int, seconds: float = 0.25) -> Ceilings:
    """The ceilings of a device for `dtype` on `threads` threads, pinned; about `seconds` for each size.

    Raises RuntimeError (torch's) for a dtype that the device cannot multiply in.
    """
    with thread_count(threads), pinned(threads), torch.inference_mode():
        press: Press = lambda call: lap(call, device).elapsed  # noqa: E731 - bound to the device
        flops = max(product_rate(press, device, dtype, side, seconds) for side in PRODUCTS[_kind(device)])
        copies = tuple((size, copy_rate(press, device, size, seconds)) for size in COPIES[_kind(device)])
    return Ceilings(device, dtype, threads, flops, copies)


def product_rate(press: Press, device: str, dtype: str, side: int, seconds: float) -> float:
    """FLOP/s of the fastest of several products of side x side matrices."""
    a, b = (torch.randn(side, side, device=device).to(getattr(torch, dtype)) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * side**3 / best(lambda: torch.mm(a, b, out=out), press, seconds)


def copy_rate(press: Press, device: str, size: int, seconds: float) -> float:
    """Bytes per second, read and written, of the fastest of several copies that move `size` bytes in all."""
    source = torch.ones(size // 2, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return size / best(lambda: target.copy_(source), press, seconds)


def best(call: Call, press: Press, seconds: float, least: int = 3) -> float:
    """The shortest time of `call`, after one that is not counted; at least `least` calls, for about `seconds`."""
    press(call)
    times = [press(call) for _ in range(least)]
    while sum(times) < seconds and len(times) < 2000:
        times.append(press(call))
    return max(min(times), 1e-9)


def _kind(device: str) -> str:
    """Raises ValueError for a kind of device whose ceilings are not known how to be measured."""
    kind = torch.device(device).type
    if kind not in PRODUCTS:
        raise ValueError(f"no ceilings are measured on '{device}', only on {' and '.join(PRODUCTS)}")
    return kind
