"""Time against the number of cells: of a distance transform, and of inference in a tree of springs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor

from architectures.layers.distance_transform import softly_transformed, transformed
from architectures.pictorial_structures import SKELETONS, Message, beliefs

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


def problem(side: int) -> tuple[Tensor, Tensor, Tensor]:
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


def best_pose(parts: Tensor, message: Message) -> Tensor:
    """Max-marginals of a skeleton."""
    springs = torch.full((len(SKELETON), 2), 0.05), torch.ones(len(SKELETON), 2)
    return beliefs(parts, SKELETON, *springs, message)


def training_step(parts: Tensor) -> Tensor:
    """Marginals within 8 cells, and their gradient."""
    parts = parts.detach().requires_grad_()
    return torch.autograd.grad(best_pose(parts, partial(softly_transformed, reach=8)).sum(), parts)[0]


SKELETON = SKELETONS[14]
INFERENCES: dict[str, Callable[[Tensor], Tensor]] = {
    "best pose within 8 cells": lambda parts: best_pose(parts, partial(transformed, reach=8)),
    "best pose by envelope": lambda parts: best_pose(parts, transformed),
    "marginals, back and forth": training_step,
}


def table(ways: Mapping[str, Callable[[], object]], side: int, parts: int) -> str:
    """A line: time of each way, in all and for each cell of each part."""
    cells = [(s, 1e9 * s / (parts * side**2)) for s in map(cpu_seconds, ways.values())]
    return f"{side**2:>14} " + "".join(f"{f'{1e3 * s:.2f} ms {ns:8.0f} ns a cell':>30}" for s, ns in cells)


def printed(names: Iterable[str], lines: Iterable[str]) -> None:
    print("\n" + "\n".join([f"{'cells a part':>14} " + "".join(f"{name:>30}" for name in names), *lines]))


def test_time_against_size(benchmark) -> None:
    lines = []
    for side in SIDES:
        springs = problem(side)
        lines.append(table({name: partial(way, *springs) for name, way in WAYS.items()}, side, PARTS))
    benchmark.pedantic(lambda: transformed(*problem(SIDES[-1])), rounds=3)
    printed(WAYS, lines)


def test_time_of_a_tree_against_size(benchmark) -> None:
    lines = []
    for side in SIDES[:3]:
        parts = torch.randn(1, len(SKELETON), side, side, generator=torch.Generator().manual_seed(0))
        lines.append(table({name: partial(way, parts) for name, way in INFERENCES.items()}, side, len(SKELETON)))
    benchmark.pedantic(lambda: best_pose(parts, transformed), rounds=3)
    printed(INFERENCES, lines)
