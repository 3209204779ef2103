"""Effective receptive fields: which of the pixels that could count do, by the gradient (Luo et al. 2016).

One *run* takes a network in eval mode and one input x, draws a sign s_c = +1 or -1 for each channel c of
the output y at one position, and computes g = d(sum over c of s_c y_c) / dx, by autograd in the network's
dtype. The *energy* of a pixel is the sum of g^2 over the input's channels; its expectation over the signs
is the squared norm of the Jacobian between that pixel and that position. Divided by its sum over all pixels it
is a *map* of shares, and maps are averaged over runs, so that each run counts alike. In a linear network with
independent zero-mean weights the fraction of a pixel is expected to be its fraction of all paths through the kernels.

Luo, Li, Urtasun & Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks",
NIPS 2016, arXiv:1701.04128: they average over 20 runs with random weights and inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.func import functional_call

from bench.structure.recorder import leaves

MASS = 0.95
"""The fraction of the map that radius and side hold."""
THRESHOLD = 1 - 0.9545
"""Of the greatest gradient: what the paper counts as inside."""
CELLS = 64
"""Most cells along an axis of a map that is kept for a picture."""

Box = tuple[tuple[int, int], ...]


class EffectiveFieldError(ValueError):
    """A network that has no gradient between its input's pixels and its output; the message says why."""


@dataclass(frozen=True)
class EffectiveField:
    """The mean map over `runs`: float64 over the input's spatial axes, 1 in sum; all lengths are in pixels.

    `silent` runs, whose gradient was zero everywhere, have no part in it. `radii` are those of the single runs.
    """

    map: np.ndarray
    radii: tuple[float, ...]
    silent: int = 0

    @cached_property
    def centre(self) -> tuple[float, ...]:
        """The centre of mass, in indices: pixel 0 lies at 0."""
        return _centre(self.map)

    @property
    def radius(self) -> float:
        """The least radius about the centre of mass that holds `MASS` of the map."""
        return _holding(self.map, np.sqrt(sum(d**2 for d in _offsets(self.map.shape, self.centre))))

    @property
    def side(self) -> float:
        """The side of the least square about the centre of mass that holds `MASS` of the map, whole pixels counted."""
        return 2 * _holding(self.map, np.maximum.reduce(list(_offsets(self.map.shape, self.centre)))) + 1

    @property
    def size(self) -> float:
        """The paper's measure: the root of the number of pixels whose gradient exceeds `THRESHOLD` of the greatest.

        In as many dimensions as the input has; the gradient is the root of the map.
        """
        inside = np.sqrt(self.map / self.map.max()) > THRESHOLD
        return float(inside.sum() ** (1 / self.map.ndim))

    def share_of(self, box: Box) -> float:
        """The part of a box's pixels that lies within the radius."""
        far = np.sqrt(sum(d**2 for d in _offsets(self.map.shape, self.centre)))
        inside = far <= self.radius + 1e-6  # the centre's last digit must not split a ring of pixels
        chosen = inside[tuple(slice(*side) for side in box)]
        return float(chosen.sum() / chosen.size)

    def coarse(self) -> tuple[list[Any], int]:
        """The map in at most `CELLS` cells an axis, as a fraction of the greatest cell, and the side of a cell.

        Nested lists of 4 decimals: for pictures, not for measuring.
        """
        cell = math.ceil(max(self.map.shape) / CELLS)
        padded = np.pad(self.map, [(0, -n % cell) for n in self.map.shape])
        split = padded.reshape([m for n in padded.shape for m in (n // cell, cell)])
        cells = split.sum(axis=tuple(range(1, 2 * self.map.ndim, 2)))
        nested: list[Any] = np.round(cells / cells.max(), 4).tolist()
        return nested, cell

    def facts(self, box: Box | None) -> dict[str, Any]:
        """All of it as JSON, beside the theoretical box."""
        cells, cell = self.coarse()
        shape = {"radius": self.radius, "side": self.side, "centre": list(self.centre), "size": self.size}
        runs = {"runs": len(self.radii), "silent": self.silent, "radii": list(self.radii), "mass": MASS}
        limits = {"box": box, "share_of_box": None if box is None else self.share_of(box)}
        return {**shape, **limits, **runs, "shape": list(self.map.shape), "cell": cell, "map": cells}


def effective_field(
    runs: Iterable[tuple[torch.nn.Module, torch.Tensor]], seed: int = 0, device: str = "cpu"
) -> EffectiveField:
    """The effective receptive field of the centre (n // 2) of the first output, averaged over `runs`.

    `runs` are networks in eval mode, each with an input (1, C, ...). An output without spatial axes, such as
    class scores, is taken whole; of (N, L, C) tokens the middle one. Signs are drawn from `seed`; torch's own
    generators are afterwards as they were. Raises EffectiveFieldError where there is no gradient.
    """
    gpus = [torch.device(device)] if torch.device(device).type == "cuda" else []
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        maps = [_shares(_gradient(model, x, generator)) for model, x in runs]
    nonzero = [shares for shares in maps if shares is not None]
    if not nonzero:
        raise EffectiveFieldError("the gradient is zero at every pixel")
    radii = tuple(EffectiveField(shares, ()).radius for shares in nonzero)
    return EffectiveField(np.mean(nonzero, axis=0), radii, len(maps) - len(nonzero))


def _gradient(model: torch.nn.Module, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The gradient (1, C, ...) of the signed sum over the output's channels at its centre."""
    if x.ndim < 3:
        raise EffectiveFieldError(f"an input of shape {tuple(x.shape)} has no pixels")
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        output = _first(functional_call(model, _tensors(model), (x,)))
        centre = _at_centre(output, images=x.ndim > 3)
        signs = torch.randint(0, 2, centre.shape, generator=generator) * 2 - 1
        (gradient,) = torch.autograd.grad((centre * signs.to(centre)).sum(), x, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient


def _tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers as autograd takes them: those of a model moved in inference mode are copied."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: t.clone() if t.is_inference() else t.detach() for name, t in tensors.items()}


def _first(result: Any) -> torch.Tensor:
    tensors = leaves(result)
    if not tensors or not tensors[0][1].requires_grad:
        raise EffectiveFieldError("the network's first output has no gradient")
    return tensors[0][1]


def _at_centre(output: torch.Tensor, images: bool) -> torch.Tensor:
    axes = (1,) if output.ndim == 3 and images else range(2, output.ndim)
    for axis in reversed(axes):
        output = output.select(axis, output.shape[axis] // 2)
    return output


def _shares(gradient: torch.Tensor) -> np.ndarray | None:
    """Each pixel's fraction of the energy; None where it is zero. Scaled first, since squares may underflow."""
    g = gradient.double()
    peak = float(g.abs().max())
    if not math.isfinite(peak):
        raise EffectiveFieldError("the gradient is not finite")
    if peak == 0:
        return None
    energy = ((g / peak) ** 2).sum(dim=(0, 1))
    shares: np.ndarray = (energy / energy.sum()).cpu().numpy()
    return shares


def _centre(shares: np.ndarray) -> tuple[float, ...]:
    every = range(shares.ndim)
    return tuple(float(shares.sum(axis=tuple(b for b in every if b != a)) @ np.arange(shares.shape[a])) for a in every)


def _offsets(shape: tuple[int, ...], centre: tuple[float, ...]) -> Iterable[np.ndarray]:
    """How far each pixel lies from the centre along each axis."""
    for grid, at in zip(np.indices(shape), centre, strict=True):
        yield np.abs(grid - at)


def _holding(shares: np.ndarray, distance: np.ndarray) -> float:
    """The least distance within which `MASS` lies."""
    order = np.argsort(distance, axis=None, kind="stable")
    mass = np.cumsum(shares.ravel()[order])
    last = min(int(np.searchsorted(mass, MASS * mass[-1])), mass.size - 1)
    return float(distance.ravel()[order][last])
