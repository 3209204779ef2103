"""Pictorial structures: part scores, and springs between the parts of a tree, answered exactly.

Felzenszwalb & Huttenlocher 2005 (IJCV 61); springs of Felzenszwalb et al. 2010's deformable parts; part scores by
a convolutional net after Chen & Yuille 2014 (arXiv:1407.3399), or by linear filters on histograms of oriented
gradients (Dalal & Triggs 2005) as in Yang & Ramanan 2011. All maps have stride 4.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import Norm, convolution, he_initialise, scaled
from architectures.layers.distance_transform import softly_transformed, transformed
from architectures.layers.heatmaps import staged
from bench.registry import Bounds, Examples, RegistryError, architecture

PAPER = "Felzenszwalb & Huttenlocher 2005, IJCV 61"
STRIDE = 4
SKELETONS: Mapping[int, tuple[int, ...]] = {
    11: (1, -1, 1, 1, 3, 1, 5, 1, 7, 1, 9),
    14: (1, 2, 12, 12, 3, 4, 7, 8, 12, 12, 9, 10, -1, 12),
    16: (1, 2, 6, 6, 3, 4, 7, -1, 7, 8, 11, 12, 7, 7, 13, 14),
    17: (-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
}
"""The parent of each joint, -1 of the root, by their number: stickman, LSP, MPII, COCO, in the order of these data."""
SLACK = 3.0
"""Standard deviation, in cells, of a spring before anything is learnt or measured."""
STEP = 8.0
"""Cells of rest offset for each unit of the parameter, so that it learns as fast as other weights."""
ORIENTATIONS, BLOCK, EPSILON, CLIP = 9, 2, 1e-5, 0.2

Message = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Scores (N, E, h, w), curvature and offset (E, 2) of the springs -> what the other ends make of them, (N, E, h, w)."""


def levels(parents: Sequence[int]) -> list[list[int]]:
    """The joints by their distance from the root, which stands first alone. Raises RegistryError for no tree."""
    roots = [joint for joint, parent in enumerate(parents) if parent == -1]
    if len(roots) != 1 or not all(-1 <= parent < len(parents) for parent in parents):
        raise RegistryError(f"parents name one root (-1) and joints 0 to {len(parents) - 1}, not {list(parents)}")
    by_depth = [roots]
    while below := [joint for joint, parent in enumerate(parents) if parent in by_depth[-1]]:
        by_depth.append(below)
    if sum(map(len, by_depth)) != len(parents):
        raise RegistryError(f"parents {list(parents)} are no tree: not every joint hangs from the root")
    return by_depth


def beliefs(scores: Tensor, parents: Sequence[int], curvature: Tensor, offset: Tensor, message: Message) -> Tensor:
    """What the whole tree says of every place of every joint: (N, K, h, w) -> (N, K, h, w), in nats.

    The score of a pose x is sum of scores_k(x_k) less, for each joint k with a parent p,
    a_k (x_k - x_p - m_k)^2 in both axes. With `transformed` as message, a belief is the score of the best pose that
    has the joint there (a max-marginal); with `softly_transformed` the logarithm of the sum of exp(score) over
    all poses that have it there (a marginal, up to a constant). Two passes over the tree: from the leaves to the
    root, and back. `curvature` and `offset` (K, 2): x, y in cells; the root's are not read.
    """
    total, tree = list(scores.unbind(1)), levels(parents)
    upwards: dict[int, Tensor] = {}
    for level in tree[:0:-1]:
        a, m = _of(level, curvature), _of(level, offset)
        for joint, sent in zip(level, message(_of(level, total), a, m).unbind(1), strict=True):
            upwards[joint] = sent
            total[parents[joint]] = total[parents[joint]] + sent
    for level in tree[1:]:
        rest = torch.stack([total[parents[joint]] - upwards[joint] for joint in level], 1)
        a, m = _of(level, curvature), _of(level, offset)
        for joint, sent in zip(level, message(rest, a, -m).unbind(1), strict=True):
            total[joint] = total[joint] + sent
    return torch.stack(total, 1)


def _of(level: Sequence[int], values: Tensor | Sequence[Tensor]) -> Tensor:
    """Those of a level: of parameters (K, 2) -> (E, 2), of maps, a list of (N, h, w) -> (N, E, h, w)."""
    chosen = [values[joint] for joint in level]
    return torch.stack(chosen, 0 if isinstance(values, Tensor) else 1)


class LearnedSprings(nn.Module):
    """Curvature and rest offset (K, 2) of each joint's spring to its parent, in cells, as parameters."""

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.zeros(joints, 2))
        self.rest = nn.Parameter(torch.zeros(joints, 2))

    def forward(self) -> tuple[Tensor, Tensor]:
        return self.logarithm.exp() / (2 * SLACK**2), self.rest * STEP


class MeasuredSprings(nn.Module):
    """The same from the mean and the variance of the offsets in training: a = 1 / (2 variance)."""

    count: Tensor
    total: Tensor
    squares: Tensor

    def __init__(self, joints: int) -> None:
        super().__init__()
        # The sums begin with one offset of the prior's variance, so that the first variance is defined.
        self.register_buffer("count", torch.ones(joints, 1))
        self.register_buffer("total", torch.zeros(joints, 2))
        self.register_buffer("squares", torch.full((joints, 2), SLACK**2))

    def forward(self) -> tuple[Tensor, Tensor]:
        mean = self.total / self.count
        variance = (self.squares / self.count - mean**2).clamp(min=0.01)
        return 1 / (2 * variance), mean

    @torch.no_grad()
    def measure(self, offsets: Tensor, annotated: Tensor) -> None:
        """Add offsets (N, K, 2) in cells to the sums, those that are `annotated` (N, K)."""
        seen = annotated[..., None].to(offsets.dtype)
        self.count += seen.sum(0)
        self.total += (offsets * seen).sum(0)
        self.squares += (offsets**2 * seen).sum(0)


def hog(images: Tensor, cell: int) -> Tensor:
    """Histograms of oriented gradients (N, C, H, W) -> (N, 36, H / cell - 1, W / cell - 1), both rounded down.

    Nine unsigned orientations in cells of `cell` px, blocks of 2x2 cells one apart, L2 norm, clipped at 0.2 and normed
    again: the numbers of skimage.feature.hog(block_norm="L2-Hys"), channels in the order block row, block
    column, orientation. Of several colours the one of the largest gradient counts, pixel by pixel.
    """
    cells = _histograms(*_gradients(images), cell)
    height, width = cells.shape[-2] - BLOCK + 1, cells.shape[-1] - BLOCK + 1
    corners = [(i, j) for i in range(BLOCK) for j in range(BLOCK)]
    blocks = torch.cat([cells[..., i : i + height, j : j + width] for i, j in corners], 1)
    clipped = (blocks / _norm(blocks)).clamp(max=CLIP)
    return clipped / _norm(clipped)


def _norm(blocks: Tensor) -> Tensor:
    return (blocks.square().sum(1, keepdim=True) + EPSILON**2).sqrt()


def _gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences (down, right) of the pixels beside, 0 at edges, of the colour where they are longest: (N, H, W)."""
    down = F.pad(images[..., 2:, :] - images[..., :-2, :], (0, 0, 1, 1))
    right = F.pad(images[..., 2:] - images[..., :-2], (1, 1))
    best = down[:, 0], right[:, 0]
    for own in zip(down[:, 1:].unbind(1), right[:, 1:].unbind(1), strict=True):
        longer = own[0] ** 2 + own[1] ** 2 > best[0] ** 2 + best[1] ** 2
        best = torch.where(longer, own[0], best[0]), torch.where(longer, own[1], best[1])
    return best


def _histograms(down: Tensor, right: Tensor, cell: int) -> Tensor:
    """Mean length by orientation in each cell: (N, 9, H / cell, W / cell)."""
    length = torch.linalg.vector_norm(torch.stack([down, right]), dim=0)
    angle = torch.rad2deg(torch.atan2(down, right)) % 180
    angle = angle * (angle < 180)  # the remainder of a tiny negative angle is rounded up to 180
    edges = [180 / ORIENTATIONS * n for n in range(ORIENTATIONS + 1)]
    bins = [length * ((angle >= low) & (angle < high)) for low, high in itertools.pairwise(edges)]
    return F.avg_pool2d(torch.stack(bins, 1), cell)


class Gradients(nn.Module):
    """HOG as features: (N, 3, H, W) -> (N, 36, ceil(H / 4), ceil(W / 4)); the rim is continued to fill the cells.

    A block is two cells wide, so that of output cell i begins half a cell before it and has its middle.
    """

    out_channels = ORIENTATIONS * BLOCK**2

    def forward(self, image: Tensor) -> Tensor:
        half = STRIDE // 2
        below, right = (-side % STRIDE + half for side in image.shape[-2:])
        return hog(F.pad(image, (half, right, half, below), mode="replicate"), STRIDE)


def _convolutions(width: float, norm: Norm) -> dict[str, nn.Module]:
    """5x5 and 3x3, each pooled: (N, 3, H, W) -> (N, C, ceil(H / 4), ceil(W / 4)) from 12 px."""
    first, second = scaled(32, width), scaled(64, width)
    return (
        convolution("conv1", 3, first, 5, padding=2, norm=norm)
        | {"pool1": nn.MaxPool2d(2, ceil_mode=True)}
        | convolution("conv2", first, second, 3, padding=1, norm=norm)
        | {"pool2": nn.MaxPool2d(2, ceil_mode=True)}
    )


def _scorer(features: str, depth: int, width: float, norm: Norm, joints: int) -> nn.Sequential:
    """Part scores (N, K, h, w): features, `depth` 3x3 convolutions, a filter of 1x1 (of 5x5 on bare HOG)."""
    layers: dict[str, nn.Module] = {"hog": Gradients()} if features == "hog" else _convolutions(width, norm)
    inputs = Gradients.out_channels if features == "hog" else scaled(64, width)
    for number in range(1, depth + 1):
        layers |= convolution(f"deep{number}", inputs, scaled(64, width), 3, padding=1, norm=norm)
        inputs = scaled(64, width)
    side = 5 if features == "hog" and not depth else 1
    return nn.Sequential(OrderedDict(layers | {"filter": nn.Conv2d(inputs, joints, side, padding=side // 2)}))


def cell_error(maps: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Negative log-likelihood of the joints' places under softmax(maps), in nats, averaged over annotated joints.

    A place is shared between its four nearest cells as bilinear interpolation does.
    """
    cells = (targets["joints"] - (STRIDE - 1) / 2) / STRIDE
    tents = []
    for axis, side in ((0, maps.shape[-1]), (1, maps.shape[-2])):
        at = cells[..., axis, None].clamp(min=0, max=side - 1)
        tents.append((1 - (torch.arange(side, device=maps.device) - at).abs()).clamp(min=0))
    ideal = tents[1][..., :, None] * tents[0][..., None, :]
    errors = -(ideal.flatten(2) * maps.float().flatten(2).log_softmax(-1)).sum(-1)
    annotated = _annotated(targets)
    return (errors * annotated).sum() / annotated.sum().clamp(min=1)


def _annotated(targets: Mapping[str, Tensor]) -> Tensor:
    joints, size = targets["joints"], targets["size"][:, None]
    return (targets["visible"] > 0) & ((joints >= -0.5) & (joints <= size - 0.5)).all(-1)


class PictorialStructures(nn.Module):
    """Part scores and a tree of springs: (N, 3, H, W) -> {out, stage1}, each (N, K, ceil(H / 4), ceil(W / 4)) logits.

    `stage1` are the part scores, `out` the beliefs of the whole tree; without springs `out` are the scores. In
    training beliefs are marginals, so that the likelihood of the joints reaches every weight; in evaluation
    those of the best pose, or marginals. `loss` counts `out` alone.
    """

    def __init__(
        self,
        scorer: nn.Module,
        springs: LearnedSprings | MeasuredSprings | None,
        parents: Sequence[int],
        *,
        best: bool,
        reach: int | None,
    ) -> None:
        super().__init__()
        self.scorer, self.springs = scorer, springs
        self.parents, self.best, self.reach = tuple(parents), best, reach
        he_initialise(self)
        self.receptive_field_layers = {"parts": "scorer"}

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        scores = self.scorer(image)
        if self.springs is None:
            return {"out": scores}
        transform = transformed if self.best and not self.training else softly_transformed
        message: Message = lambda maps, a, m: transform(maps, a, m, self.reach)  # noqa: E731
        # A child at x = x_p + m is reached from its parent by the transform at m.
        curvature, offset = self.springs()
        return staged([scores, beliefs(scores, self.parents, curvature, offset, message)])

    def loss(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Negative log-likelihood of each joint's place, averaged; measured springs take in the offsets."""
        if isinstance(self.springs, MeasuredSprings) and self.training:
            joints, annotated = targets["joints"] / STRIDE, _annotated(targets)
            parents = [max(parent, 0) for parent in self.parents]
            self.springs.measure(joints - joints[:, parents], annotated & annotated[:, parents])
        return cell_error(outputs["out"], targets)


def _parents(tree: str, parents: Sequence[int], joints: int) -> tuple[int, ...]:
    """The tree's parents. Raises RegistryError where stated ones do not fit the joints."""
    if parents and len(parents) != joints:
        raise RegistryError(f"{len(parents)} parents for {joints} joints")
    chosen_parents = tuple(parents) or SKELETONS.get(joints, (-1, *[0] * (joints - 1)))
    if tree == "skeleton":
        return chosen_parents
    root = levels(chosen_parents)[0][0]
    return tuple(-1 if joint == root else root for joint in range(joints))


@architecture(task="pose", source=PAPER, small={"width": 0.125, "joints": 4})
def pictorial_structures(
    *,
    springs: bool = True,
    tree: Literal["skeleton", "star"] = "skeleton",
    parents: Annotated[tuple[int, ...], Examples((-1, 0, 1, 2))] = (),
    deformation: Literal["learned", "measured"] = "learned",
    inference: Literal["max", "marginal"] = "max",
    reach: Annotated[int, Bounds(1, 4096)] | None = 16,
    features: Literal["learned", "hog"] = "learned",
    depth: Annotated[int, Bounds(0, 16)] = 2,
    norm: Literal["none", "batch"] = "batch",
    width: Annotated[float, Bounds(0.01, 8)] = 1.0,
    joints: Annotated[int, Bounds(1, 256)] = 14,
) -> nn.Module:
    """Pictorial structures: local part scores, joined by springs on a tree, answered exactly.

    - `springs`: false leaves the part scores. `tree`: a skeleton, or every joint on the skeleton's root.
    - `parents`: of each joint, -1 of the root; empty is the skeleton of stickman, LSP, MPII or COCO (11, 14, 16 or
      17 joints in their order), and of another number of joints a star about the first.
    - `deformation`: rest offsets and stiffness are learnt with the rest, or measured in the poses seen in training.
    - `inference`, in evaluation: the best pose (max-sum, generalised distance transforms) or marginals (sum-product).
    - `reach`: how many cells a joint can be from its parent in each axis; none is no limit, where the best pose
      takes the envelope of parabolas: the receptive field is then an upper bound.
    - `features`: learnt convolutions, or histograms of oriented gradients in cells of 4 px.
      `depth`: 3x3 convolutions at stride 4 behind them, each 8 px of field; a filter for each part follows.
    - `norm`, `width`: of the learnt convolutions.

    Inputs (N, 3, H, W), outputs {out, stage1}, each (N, joints, ceil(H / 4), ceil(W / 4)): logits.
    Raises RegistryError for parents that are no tree.
    """
    scorer = _scorer(features, depth, width, norm, joints)
    tree_parents = _parents(tree, parents, joints)
    levels(tree_parents)
    kinds: dict[str, type[LearnedSprings | MeasuredSprings]] = {"learned": LearnedSprings, "measured": MeasuredSprings}
    chosen = kinds[deformation](joints) if springs else None
    return PictorialStructures(scorer, chosen, tree_parents, best=inference == "max", reach=reach)
