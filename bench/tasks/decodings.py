"""How a joint's place is read from its map of probabilities, more finely than a cell.

Maps are (N, K, h, w), not negative, with a sum of 1. Places are (N, K, 2) in cells: x then y, the centre of the
first cell is (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-10


def argmax(maps: Tensor) -> Tensor:
    """The centre of the largest cell; of equal ones the first."""
    width = maps.shape[-1]
    at = maps.flatten(2).argmax(-1)
    return torch.stack([at % width, at // width], -1).to(maps.dtype)


def quarter(maps: Tensor) -> Tensor:
    """A quarter of a cell from the largest towards the larger neighbour in each axis (Newell et al. 2016, section 3.3).

    As in their code, a maximum at the edge of the map is not moved.
    """
    peak = argmax(maps)
    cells, inside = _around(maps, peak)
    step = 0.25 * torch.stack([cells[..., 1, 2] - cells[..., 1, 0], cells[..., 2, 1] - cells[..., 0, 1]], -1).sign()
    return peak + step * inside[..., None]


def dark(maps: Tensor, sigma: float = 1.0) -> Tensor:
    """Newton's step on the logarithm of the blurred map, from the largest cell (Zhang et al. 2020, equations 9 and 10).

    `sigma` in cells is the blur's, the paper's modulation, which has the width of the maps that were learnt. A maximum
    at the edge is not moved. Their code leaves those one cell from it too, and takes second derivatives over two cells
    to either side, where these go over one: the same for Gaussians. Other than theirs, a maximum where the blurred
    logarithm has none nearby (the Hessian is not negative definite) stays, and no step is longer than a cell.
    """
    peak = argmax(maps)
    cells, inside = _around(blurred(maps, sigma).clamp(min=TINY).log(), peak)
    gradient = torch.stack([cells[..., 1, 2] - cells[..., 1, 0], cells[..., 2, 1] - cells[..., 0, 1]], -1) / 2
    xx = cells[..., 1, 2] - 2 * cells[..., 1, 1] + cells[..., 1, 0]
    yy = cells[..., 2, 1] - 2 * cells[..., 1, 1] + cells[..., 0, 1]
    xy = (cells[..., 2, 2] - cells[..., 2, 0] - cells[..., 0, 2] + cells[..., 0, 0]) / 4
    determinant = xx * yy - xy * xy
    peaked = inside & (determinant > TINY) & (xx < 0)
    safe = torch.where(peaked, determinant, torch.ones_like(determinant))
    x = (xy * gradient[..., 1] - yy * gradient[..., 0]) / safe
    y = (xy * gradient[..., 0] - xx * gradient[..., 1]) / safe
    step = torch.stack([x, y], -1).clamp(-1, 1)
    return peak + step * peaked[..., None]


def soft_argmax(maps: Tensor) -> Tensor:
    """The mean place: the expectation over the whole map."""
    height, width = maps.shape[-2:]
    x = (maps.sum(-2) * torch.arange(width, device=maps.device)).sum(-1)
    y = (maps.sum(-1) * torch.arange(height, device=maps.device)).sum(-1)
    return torch.stack([x, y], -1)


def blurred(maps: Tensor, sigma: float) -> Tensor:
    """Each map (N, K, h, w) under a Gaussian of `sigma` cells, cut at three sigma, zeros beyond the edges."""
    radius = max(1, round(3 * sigma))
    offset = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    kernel = (-(offset**2) / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    flat = maps.flatten(0, 1)[:, None]
    rows = F.conv2d(flat, kernel.view(1, 1, 1, -1), padding=(0, radius))
    return F.conv2d(rows, kernel.view(1, 1, -1, 1), padding=(radius, 0)).view_as(maps)


def _around(maps: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
    """The 3x3 cells (N, K, 3, 3) around each peak, and whether (N, K) all of them lie on the map."""
    height, width = maps.shape[-2:]
    x, y = peak.long().unbind(-1)
    inside = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    near = torch.arange(-1, 2, device=maps.device)
    rows = (y[..., None, None] + near[:, None]).clamp(0, height - 1)
    columns = (x[..., None, None] + near).clamp(0, width - 1)
    index = (rows * width + columns).flatten(2)
    return maps.flatten(2).gather(-1, index).view(*peak.shape[:2], 3, 3), inside


DECODINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "argmax": argmax,
    "quarter": quarter,
    "dark": dark,
    "soft_argmax": soft_argmax,
}
