"""Random acyclic networks of the operators that networks are made of, each from its seed."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

Op = Callable[[torch.Tensor], torch.Tensor]


class RandomNetwork(nn.Module):
    """Steps that read earlier values: unary ones one of them, joins two of the same size."""

    def __init__(self, seed: int, steps: int = 8) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.layers = nn.ModuleList()
        self.plan: list[tuple[str, tuple[int, ...], Op | int]] = []
        self.shapes: list[tuple[int, ...]] = [(1, 2, 8, 9)]
        for _ in range(steps):
            self._grow()
        self._join_ends()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = [x]
        for _, sources, op in self.plan:
            function = self.layers[op] if isinstance(op, int) else op
            values.append(function(*(values[s] for s in sources)))
        return values[-1]

    def _grow(self) -> None:
        source = self.random.choice(range(max(0, len(self.shapes) - 4), len(self.shapes)))
        kind = self.random.choice(list(UNARY) + ["join"] * 5)
        if kind == "join":
            self._join(source)
        else:
            operation = UNARY[kind](self.random, self.shapes[source])
            self._add(kind, (source,), operation)

    def _add(self, kind: str, sources: tuple[int, ...], operation: Op | nn.Module | None) -> None:
        """Keep a step if it yields a map that is neither empty nor large."""
        if operation is None:
            return
        probe = operation.double().eval() if isinstance(operation, nn.Module) else operation
        with torch.no_grad():
            out = probe(*(torch.rand(self.shapes[s], dtype=torch.float64) for s in sources))
        if out.dim() != 4 or min(out.shape) == 0 or max(out.shape[2:]) > 24 or out.shape[1] > 12:
            return
        if isinstance(operation, nn.Module):
            self.layers.append(operation)
        self.plan.append((kind, sources, len(self.layers) - 1 if isinstance(operation, nn.Module) else operation))
        self.shapes.append(tuple(out.shape))

    def _join(self, one: int) -> None:
        alike = [i for i, s in enumerate(self.shapes) if s[2:] == self.shapes[one][2:]]
        other = self.random.choice(alike)
        if self.shapes[one][1] == self.shapes[other][1] and self.random.random() < 0.6 and one != other:
            kind = self.random.choice(list(JOINS))
            self._add(kind, (one, other), JOINS[kind])
        else:
            self._add("cat", (one, other), lambda a, b: torch.cat([a, b], 1))

    def _join_ends(self) -> None:
        """The last two values in one output, cropped to what they share."""
        if len(self.shapes) > 2:
            self._add("ends", (len(self.shapes) - 2, len(self.shapes) - 1), _cropped)


def _cropped(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    h, w = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
    return torch.cat([a[:, :, :h, :w], b[:, :, -h:, -w:]], 1)


JOINS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * (b + 2),
    "maximum": lambda a, b: torch.maximum(torch.sin(7 * a), torch.cos(5 * b)),
    "gate": lambda a, b: a * torch.sigmoid(b.mean((2, 3), keepdim=True)),
}


def _conv(r: random.Random, shape: tuple[int, ...]) -> nn.Module | None:
    kernel, dilation, stride = r.choice([1, 2, 3]), r.choice([1, 1, 2]), r.choice([1, 1, 2, 3])
    groups = r.choice([g for g in (1, 1, 2, shape[1]) if shape[1] % g == 0])
    if dilation * (kernel - 1) + 1 > min(shape[2:]):
        return None
    mode = r.choice(["zeros", "zeros", "reflect", "circular", "replicate"])
    padding = r.choice([0, 1]) if min(shape[2:]) > 1 else 0
    return nn.Conv2d(shape[1], groups * r.choice([1, 2]), kernel, stride, padding, dilation, groups, padding_mode=mode)


def _transposed(r: random.Random, shape: tuple[int, ...]) -> nn.Module:
    kernel, stride = r.choice([1, 2, 3, 4]), r.choice([1, 2, 3])
    return nn.ConvTranspose2d(shape[1], r.choice([1, 2, 3]), kernel, stride, output_padding=r.randrange(stride))


def _pool(r: random.Random, shape: tuple[int, ...]) -> nn.Module | None:
    kernel, stride = r.choice([2, 3]), r.choice([1, 2])
    if kernel > min(shape[2:]):
        return None
    sort = r.choice([nn.MaxPool2d, nn.AvgPool2d])
    return sort(kernel, stride, r.choice([0, 1]), ceil_mode=r.random() < 0.5)


def _resize(r: random.Random, shape: tuple[int, ...]) -> Op:
    size = (r.randrange(2, 15), r.randrange(2, 15))
    mode = r.choice(["nearest", "bilinear", "bicubic", "nearest-exact", "area"])
    return lambda x: F.interpolate(x, size=size, mode=mode)


def _slice(r: random.Random, shape: tuple[int, ...]) -> Op:
    top, left, step = r.randrange(2), r.randrange(2), r.choice([1, 1, 2])
    return lambda x: x[:, :, top:, left::step]


def _pad(r: random.Random, shape: tuple[int, ...]) -> Op | None:
    pads = [r.randrange(-1, 3) for _ in range(4)]
    mode = r.choice(["constant", "reflect", "replicate"])
    if mode != "constant":
        pads = [abs(p) for p in pads]
    if max(pads) >= min(shape[2:]) or min(shape[2:]) < 4:
        return None
    return lambda x: F.pad(x, pads, mode=mode)


def _norm(r: random.Random, shape: tuple[int, ...]) -> nn.Module | None:
    if r.random() < 0.6:
        return nn.BatchNorm2d(shape[1])
    return nn.GroupNorm(shape[1], shape[1]) if shape[2] * shape[3] > 4 else None


def _shuffle(r: random.Random, shape: tuple[int, ...]) -> Op | None:
    if shape[1] % 4 == 0:
        return lambda x: F.pixel_shuffle(x, 2)
    if shape[2] % 2 == 0 and shape[3] % 2 == 0 and shape[1] <= 2:
        return lambda x: F.pixel_unshuffle(x, 2)
    return None


UNARY: dict[str, Callable[[random.Random, tuple[int, ...]], Op | nn.Module | None]] = {
    "conv": _conv,
    "conv again": _conv,
    "transposed": _transposed,
    "pool": _pool,
    "resize": _resize,
    "slice": _slice,
    "pad": _pad,
    "norm": _norm,
    "shuffle": _shuffle,
    "relu": lambda r, s: nn.LeakyReLU(0.3),
    "flip": lambda r, s: lambda x: x.flip(2),
    "roll": lambda r, s: lambda x: x.roll((1, -2), (2, 3)),
    "turn": lambda r, s: lambda x: x.transpose(2, 3),
    "split": lambda r, s: (lambda x: x.split(1, 1)[-1]) if s[1] > 1 else None,
    "mean": lambda r, s: (lambda x: x - 0.5 * x.mean(3, keepdim=True)) if s[3] > 1 else None,
    "cumsum": lambda r, s: lambda x: x.cumsum(2) * 0.3,
    "reshape": lambda r, s: lambda x: x.reshape(x.shape[0], x.shape[1], x.shape[3], x.shape[2]),
}
