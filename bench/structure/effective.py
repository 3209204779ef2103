"""Effective receptive fields: how much each pixel influences the output, by the gradient (Luo et al. 2016).

One *run* takes a network in eval mode and one input x, draws a sign s_c = +1 or -1 for each channel c of
the output y at one position, and computes g = d(sum over c of s_c y_c) / dx, by autograd in the network's
dtype. The *energy* of a pixel is the sum of g^2 over the input's channels; its expectation over the signs
is the squared norm of the Jacobian between that pixel and that position. The energy divided by its sum over all
pixels is a *map* of fractions; maps are averaged over runs, each with the same weight. In a linear network with
independent zero-mean weights the expected fraction of a pixel is its fraction of all paths through the kernels.

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
"""The fraction of the map within the radius, and within the square."""
THRESHOLD = 1 - 0.9545
"""The fraction of the greatest gradient above which the paper counts a pixel."""
CELLS = 64
"""Largest number of cells along an axis of the map that is stored for plots."""

Box = tuple[tuple[int, int], ...]


class EffectiveFieldError(ValueError):
    """A network without a gradient from its output to the pixels of its input; the message says why."""


@dataclass(frozen=True)
class EffectiveField:
    """The mean map over all runs: float64 over the input's spatial axes, with sum 1; all lengths are in pixels.

    `silent`: the number of runs whose gradient was zero everywhere; they are left out of the mean. `radii`: the
    radius of each run.
    """

    map: np.ndarray
    radii: tuple[float, ...]
    silent: int = 0

    @cached_property
    def centre(self) -> tuple[float, ...]:
        """The centre of mass in pixel indices (the centre of pixel 0 is 0)."""
        return _centre(self.map)

    @property
    def radius(self) -> float:
        """The smallest radius around the centre of mass that contains `MASS` of the map."""
        return _holding(self.map, np.sqrt(sum(d**2 for d in _offsets(self.map.shape, self.centre))))

    @property
    def side(self) -> float:
        """The side in pixels of the smallest square around the centre of mass that contains `MASS` of the map."""
        return 2 * _holding(self.map, np.maximum.reduce(list(_offsets(self.map.shape, self.centre)))) + 1

    @property
    def size(self) -> float:
        """The paper's measure: the n-th root of the number of pixels with a gradient above `THRESHOLD` of the greatest.

        n is the number of spatial axes; the gradient is the square root of the map.
        """
        inside = np.sqrt(self.map / self.map.max()) > THRESHOLD
        return float(inside.sum() ** (1 / self.map.ndim))

    def fraction_of(self, box: Box) -> float:
        """The fraction of a box's pixels that lie within the radius."""
        far = np.sqrt(sum(d**2 for d in _offsets(self.map.shape, self.centre)))
        inside = far <= self.radius + 1e-6  # rounding of the centre must not split a ring of pixels
        chosen = inside[tuple(slice(*side) for side in box)]
        return float(chosen.sum() / chosen.size)

    def coarse(self) -> tuple[list[Any], int]:
        """The map in at most `CELLS` cells per axis, as fractions of the greatest cell, and the side of a cell.

        Nested lists of numbers with 4 decimals, for plots; the side is in pixels.
        """
        cell = math.ceil(max(self.map.shape) / CELLS)
        padded = np.pad(self.map, [(0, -n % cell) for n in self.map.shape])
        split = padded.reshape([m for n in padded.shape for m in (n // cell, cell)])
        cells = split.sum(axis=tuple(range(1, 2 * self.map.ndim, 2)))
        nested: list[Any] = np.round(cells / cells.max(), 4).tolist()
        return nested, cell

    def facts(self, box: Box | None) -> dict[str, Any]:
        """All facts as JSON, with the box of the theoretical receptive field."""
        cells, cell = self.coarse()
        shape = {"radius": self.radius, "side": self.side, "centre": list(self.centre), "size": self.size}
        runs = {"runs": len(self.radii), "silent": self.silent, "radii": list(self.radii), "mass": MASS}
        limits = {"box": box, "share_of_box": None if box is None else self.fraction_of(box)}
        return {**shape, **limits, **runs, "shape": list(self.map.shape), "cell": cell, "map": cells}


def effective_field(
    runs: Iterable[tuple[torch.nn.Module, torch.Tensor]], seed: int = 0, device: str = "cpu"
) -> EffectiveField:
    """The effective receptive field of the centre (n // 2) of the first output, averaged over `runs`.

    `runs` are networks in eval mode, each with an input (1, C, ...). All of an output without spatial axes (class
    scores) is used, and of (N, L, C) tokens the middle one. Signs are drawn from `seed`; the state of torch's
    generators is restored. Raises EffectiveFieldError if the gradient is zero, not finite, or missing.
    """
    gpus = [torch.device(device)] if torch.device(device).type == "cuda" else []
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        maps = [_fractions(_gradient(model, x, generator)) for model, x in runs]
    nonzero = [fractions for fractions in maps if fractions is not None]
    if not nonzero:
        raise EffectiveFieldError("the gradient is zero at every pixel")
    radii = tuple(EffectiveField(fractions, ()).radius for fractions in nonzero)
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
    """Parameters and buffers that autograd accepts: tensors made in inference mode are copied."""
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


def _fractions(gradient: torch.Tensor) -> np.ndarray | None:
    """Each pixel's fraction of the energy; None if all energy is zero. Scaled first, because squares may underflow."""
    g = gradient.double()
    peak = float(g.abs().max())
    if not math.isfinite(peak):
        raise EffectiveFieldError("the gradient is not finite")
    if peak == 0:
        return None
    energy = ((g / peak) ** 2).sum(dim=(0, 1))
    fractions: np.ndarray = (energy / energy.sum()).cpu().numpy()
    return fractions


def _centre(fractions: np.ndarray) -> tuple[float, ...]:
    every = range(fractions.ndim)
    return tuple(
        float(fractions.sum(axis=tuple(b for b in every if b != a)) @ np.arange(fractions.shape[a])) for a in every
    )


def _offsets(shape: tuple[int, ...], centre: tuple[float, ...]) -> Iterable[np.ndarray]:
    """The distance of each pixel from the centre along each axis."""
    for grid, at in zip(np.indices(shape), centre, strict=True):
        yield np.abs(grid - at)


def _holding(fractions: np.ndarray, distance: np.ndarray) -> float:
    """The smallest distance that contains `MASS`."""
    order = np.argsort(distance, axis=None, kind="stable")
    mass = np.cumsum(fractions.ravel()[order])
    last = min(int(np.searchsorted(mass, MASS * mass[-1])), mass.size - 1)
    return float(distance.ravel()[order][last])
