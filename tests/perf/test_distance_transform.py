"""Time of a distance transform against the number of cells: with a limit, without, and by comparing all with all."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from architectures.distance_transform import transformed

SIDES = (16, 32, 64, 128)
PARTS = 4


def cpu_seconds(call: Callable[[], object], rounds: int = 3) -> float:
    """The least of a few runs."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def given(side: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(1, PARTS, side, side, generator=generator)
    return scores, torch.full((PARTS, 2), 0.05), torch.zeros(PARTS, 2)


def all_with_all(scores: Tensor, curvature: Tensor, offset: Tensor) -> Tensor:
    """Lines of n cells in n * n comparisons."""
    return transformed(scores, curvature, offset, reach=scores.shape[-1])


WAYS: dict[str, Callable[..., Tensor]] = {
    "within 8 cells": lambda *springs: transformed(*springs, reach=8),
    "envelope": transformed,
    "all with all": all_with_all,
}


def test_time_against_size(benchmark) -> None:
    lines = [f"{'cells a part':>14} " + "".join(f"{name:>30}" for name in WAYS)]
    for side in SIDES:
        springs = given(side)
        seconds = [cpu_seconds(lambda way=way, s=springs: way(*s)) for way in WAYS.values()]
        cells = PARTS * side**2
        told = (f"{1e3 * s:9.2f} ms {1e9 * s / cells:8.0f} ns a cell" for s in seconds)
        lines.append(f"{side**2:>14} " + "".join(f"{text:>30}" for text in told))
    springs = given(SIDES[-1])
    benchmark.pedantic(lambda: transformed(*springs), rounds=3)
    print("\n" + "\n".join(lines))
