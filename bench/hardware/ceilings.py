"""The ceilings of a device, measured: matrix products per dtype, and copies by their size.

A ceiling is the fastest of several calls. A product of two n x n matrices counts 2 n^3 FLOPs; a copy counts the bytes
that it reads and those that it writes. Products are measured under the numeric policy that is set, once in the
arithmetic of matrix products and, where that is another one (TF32), once in that of convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from bench.hardware.affinity import pinned_for
from bench.hardware.stopwatch import Call, lap, thread_count
from bench.structure.traffic import Work

PRODUCTS: Mapping[str, Sequence[int]] = {"cpu": (256, 512, 1024), "cuda": (2048, 4096, 8192)}
"""Sides of the matrices."""
COPIES: Mapping[str, Sequence[int]] = {
    "cpu": (2**16, 2**19, 2**22, 2**25, 2**28),
    "cuda": (2**22, 2**25, 2**28, 2**31),
}
"""Bytes read plus bytes written, from a size that fits a core's own cache to one that fits no cache."""

CONVOLUTION = "convolution"
"""The operator that is computed in cuDNN's arithmetic, transposed convolutions included."""

Stopwatch = Callable[[Call], float]
"""Runs a call and returns the seconds that it took."""


@dataclass(frozen=True)
class Ceilings:
    """`flops` per second in `dtype`; `bandwidths`: (bytes moved, bytes per second), the smallest copy first.

    `convolutions` are the FLOP/s in the arithmetic of convolutions, where it is not that of matrix products.
    """

    device: str
    dtype: str
    threads: int
    flops: float
    bandwidths: tuple[tuple[int, float], ...]
    convolutions: float | None = None

    @property
    def bandwidth(self) -> float:
        """Bytes per second of the largest copy, which fits no cache."""
        return self.bandwidths[-1][1]

    def bandwidth_of(self, moved: int) -> float:
        """Bytes per second for `moved` bytes: the fastest of all copies at least as large.

        A size between two measured ones counts as the smaller one, so that the ceiling is not too low.
        """
        smaller = [size for size, _ in self.bandwidths if size <= moved]
        return max(rate for size, rate in self.bandwidths if size >= max(smaller, default=0))

    def seconds(self, work: Work) -> float:
        """The shortest time for an operator: that of its FLOPs or that of its bytes, whichever is longer."""
        return max(self.computing(work), work.moved / self.bandwidth_of(work.moved) if work.moved else 0.0)

    def computing(self, work: Work) -> float:
        """The shortest time for the operator's FLOPs alone."""
        return work.flops / (self.convolutions if self.convolutions and work.name == CONVOLUTION else self.flops)


def allowed(ceilings: Ceilings, works: Iterable[Work]) -> float:
    """The shortest time, in seconds, for operators that run one after the other."""
    return math.fsum(ceilings.seconds(work) for work in works)


def measured(device: str, dtype: str, threads: int, seconds: float = 0.25) -> Ceilings:
    """The ceilings of a device for `dtype` on `threads` threads, pinned, under the numeric policy that is set.

    About `seconds` for each size.

    Raises RuntimeError (torch's) for a dtype that the device cannot multiply in.
    """
    with thread_count(threads), pinned_for(device, threads), torch.inference_mode():
        stopwatch: Stopwatch = lambda call: lap(call, device).elapsed  # noqa: E731
        flops = _product_rate(stopwatch, device, dtype, seconds)
        copies = tuple((size, copy_rate(stopwatch, device, size, seconds)) for size in COPIES[_kind(device)])
        with convolution_arithmetic(device, dtype) as differs:
            convolutions = _product_rate(stopwatch, device, dtype, seconds) if differs else None
    return Ceilings(device, dtype, threads, flops, copies, convolutions)


@contextmanager
def convolution_arithmetic(device: str, dtype: str) -> Iterator[bool]:
    """Matrix products in the arithmetic of convolutions inside the block; yields whether it is another one.

    Both have a switch of their own for TF32, which float32 on CUDA may be computed in.
    """
    before = torch.backends.cuda.matmul.allow_tf32
    tf32 = torch.backends.cudnn.allow_tf32
    differs = torch.device(device).type == "cuda" and dtype == "float32" and tf32 != before
    torch.backends.cuda.matmul.allow_tf32 = tf32 if differs else before
    try:
        yield differs
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _product_rate(stopwatch: Stopwatch, device: str, dtype: str, seconds: float) -> float:
    """The fastest of all sizes of matrices."""
    return max(product_rate(stopwatch, device, dtype, side, seconds) for side in PRODUCTS[_kind(device)])


def product_rate(stopwatch: Stopwatch, device: str, dtype: str, side: int, seconds: float) -> float:
    """FLOP/s of the fastest of several products of two side x side matrices."""
    a, b = (torch.randn(side, side, device=device).to(getattr(torch, dtype)) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * side**3 / best(lambda: torch.mm(a, b, out=out), stopwatch, seconds)


def copy_rate(stopwatch: Stopwatch, device: str, size: int, seconds: float) -> float:
    """Bytes per second of the fastest of several copies; each reads and writes `size` bytes together."""
    source = torch.ones(size // 2, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return size / best(lambda: target.copy_(source), stopwatch, seconds)


def best(call: Call, stopwatch: Stopwatch, seconds: float, least: int = 3) -> float:
    """The shortest time of `call`, in seconds, of at least `least` calls during about `seconds`.

    One call before them is not counted.
    """
    stopwatch(call)
    times = [stopwatch(call) for _ in range(least)]
    while sum(times) < seconds and len(times) < 2000:
        times.append(stopwatch(call))
    return max(min(times), 1e-9)


def _kind(device: str) -> str:
    """Raises ValueError for a kind of device whose ceilings cannot be measured."""
    kind = torch.device(device).type
    if kind not in PRODUCTS:
        raise ValueError(f"the ceilings of '{device}' cannot be measured, only those of {' and '.join(PRODUCTS)}")
    return kind
