"""Classified region proposals: how images were segmented before fully convolutional networks.

Regions are proposed from the image alone, each is classified from its own pixels and from its context box, and the
scores are pasted into its pixels. The strategies `full`, `fg` and `full+fg` are those of R-CNN's segmentation
(Girshick et al. 2014, section 5), on maps that the regions share as in Hariharan et al. 2014 (SDS) and its
successors; pooling over free forms and pasting by the maximum, both differentiable, so that all of it is trained by
the loss on pixels, are those of Caesar, Uijlings & Ferrari 2016 (arXiv:1607.07671).

No output can be better than the best labelling of its proposals: `evaluation_units` gives what is needed to say how
good that is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import Norm, he_initialise, scaled
from architectures.layers.pretrained import no_weights
from architectures.layers.pyramid import TimmPyramid
from architectures.layers.regions import CONTEXT, Merging, operator, oracle, shares_along
from architectures.layers.vgg import CHANNELS, vgg_trunk
from bench.registry import Bounds, Constraint, Examples, Published, RegistryError, architecture, facts

PAPER = "Girshick et al. 2014, arXiv:1311.2524, section 5; Hariharan et al. 2014, arXiv:1407.1808"
VOID = 255
"""The label of pixels that are not counted, as in the segmentation task."""
Strategy = Literal["full", "fg", "full+fg"]


@dataclass(frozen=True)
class Rectangles:
    """A grid over images, of (rows, columns) regions, in the order of reading.

    `rows` (H,) and `columns` (W,): in which of them a pixel lies. `masks` and `boxes`: for either axis the weights
    (regions, cells) of a map's cells in the mean over a region, and over its context box.
    """

    size: tuple[int, int]
    rows: Tensor
    columns: Tensor
    masks: tuple[Tensor, Tensor]
    boxes: tuple[Tensor, Tensor]

    def pooled(self, features: Tensor, context: bool) -> Tensor:
        """Means over all regions, or their context boxes: (N, C, h, w) -> (N, R, C)."""
        rows, columns = self.boxes if context else self.masks
        across = features @ columns.to(features).T
        means = across.transpose(-1, -2) @ rows.to(features).T
        return means.transpose(-1, -2).flatten(2).transpose(1, 2)

    def pasted(self, scores: Tensor) -> Tensor:
        """Every region's scores in its pixels: (N, R, classes) -> (N, classes, H, W)."""
        maps = scores.transpose(1, 2).unflatten(2, self.size)
        return maps.index_select(2, self.rows).index_select(3, self.columns)


def rectangles(image: Tensor, regions: int, stride: int) -> Rectangles:
    """The grid of at most `regions` rectangles, as square as it goes, for images (N, C, H, W)."""
    height, width = image.shape[-2:]
    rows = min(max(round((regions * height / width) ** 0.5), 1), regions, height)
    size = (rows, min(regions // rows, width))
    places, masks, boxes = zip(
        *(_divided(*axis, stride) for axis in zip((height, width), size, strict=True)), strict=True
    )
    ids, inner, outer = ([torch.from_numpy(a).to(image.device) for a in part] for part in (places, masks, boxes))
    return Rectangles(size, ids[0], ids[1], (inner[0], inner[1]), (outer[0], outer[1]))


def _divided(length: int, parts: int, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An axis in nearly equal parts: the part of each pixel, the fractions of cells in parts, and in context."""
    place = np.arange(length) * parts // length
    edges = np.searchsorted(place, np.arange(parts + 1))
    shares = [shares_along(edges[:-1], edges[1:], stride, length, by) for by in (1.0, CONTEXT)]
    return place, shares[0].astype(np.float32), shares[1].astype(np.float32)


@dataclass(frozen=True)
class Segments:
    """Nested partitions of each image, as `architectures.layers.regions.operator` gives them."""

    ids: Tensor
    members: Tensor
    masks: Tensor
    boxes: Tensor

    def pooled(self, features: Tensor, context: bool) -> Tensor:
        """Means over all regions, or their context boxes: (N, C, h, w) -> (N, R, C)."""
        weights = self.boxes if context else self.masks
        return weights.to(features).flatten(2) @ features.flatten(2).transpose(1, 2)

    def pasted(self, scores: Tensor) -> Tensor:
        """In every pixel the largest score of the regions that hold it: (N, R, classes) -> (N, classes, H, W)."""
        images = zip(scores.transpose(1, 2).unbind(), self.members.unbind(), self.ids.unbind(), strict=True)
        return torch.stack([_pasted(*image) for image in images])


def _pasted(scores: Tensor, members: Tensor, ids: Tensor) -> Tensor:
    """(classes, R), (levels, regions), (H, W) -> (classes, H, W)."""
    if len(members) > 1:
        scores = scores.index_select(1, members.flatten()).unflatten(1, members.shape).amax(1)
    return scores.index_select(1, ids.flatten()).unflatten(1, ids.shape)


def segments(image: Tensor, regions: int, stride: int, *, levels: int, merging: Merging) -> Segments:
    """Nested partitions of images (N, C, H, W) into at most `regions` regions, a quarter of them, ..."""
    return Segments(*operator(image, regions, levels, merging, stride))


class Head(nn.Sequential):
    """fc6, fc7 and the scores of a region: (N, R, inputs) -> (N, R, classes)."""

    def __init__(self, inputs: int, hidden: int, classes: int, dropout: float) -> None:
        score = nn.Linear(hidden, classes)
        super().__init__(
            OrderedDict(
                fc6=nn.Linear(inputs, hidden),
                relu6=nn.ReLU(inplace=True),
                drop6=nn.Dropout(dropout),
                fc7=nn.Linear(hidden, hidden),
                relu7=nn.ReLU(inplace=True),
                drop7=nn.Dropout(dropout),
                score=score,
            )
        )
        he_initialise(self)
        nn.init.normal_(score.weight, std=0.01)


class TimmTrunk(nn.Module):
    """A timm network's map of one stride, zeros filling the image up: (N, 3, H, W) -> (N, C, ceil(H/s), ceil(W/s))."""

    def __init__(self, name: str, stride: int, pretrained: str) -> None:
        super().__init__()
        self.pyramid, self.stride = TimmPyramid(name, stride, pretrained=pretrained), stride
        self.channels = self.pyramid.channels[-1]

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % self.pyramid.multiple, 0, -height % self.pyramid.multiple))
        deepest = self.pyramid(padded)[-1]
        assert deepest is not None
        return deepest[..., : -(-height // self.stride), : -(-width // self.stride)]


class VGGTrunk(nn.Sequential):
    """The stages of a VGG net up to a stride, less the last pooling: (N, 3, H, W) -> (N, C, ceil(H/s), ceil(W/s))."""

    def __init__(self, backbone: str, stride: int, width: float, norm: Norm) -> None:
        count = stride.bit_length()
        stages = list(vgg_trunk(backbone, width, norm, keep_switches=False).stages.values())[:count]
        pools = [nn.MaxPool2d(2, ceil_mode=True) for _ in stages[1:]]
        named = {f"stage{n}": stage for n, stage in enumerate(stages, 1)}
        named |= {f"pool{n}": pool for n, pool in enumerate(pools, 1)}
        super().__init__(OrderedDict(sorted(named.items(), key=lambda item: (item[0][-1], item[0][0] == "p"))))
        self.channels = scaled(CHANNELS[count - 1], width)
        he_initialise(self)


def _trunk(backbone: str, stride: int, width: float, norm: Norm, pretrained: str) -> VGGTrunk | TimmTrunk:
    if backbone.startswith("timm:"):
        if width != 1 or norm != "none":
            raise RegistryError(f"backbone '{backbone}' has its own widths and norms: leave 'width' and 'norm' out")
        return TimmTrunk(backbone.partition(":")[2], stride, pretrained)
    no_weights(backbone, pretrained)
    return VGGTrunk(backbone, stride, width, norm)


class RegionNetwork(nn.Module):
    """Trunk, regions, head, and scores pasted into pixels: (N, 3, H, W) -> logits (N, classes, H, W)."""

    def __init__(
        self, trunk: VGGTrunk | TimmTrunk, head: Head, propose: partial[Rectangles | Segments], strategy: Strategy
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.propose = trunk, head, propose
        self.contexts = {"full": (True,), "fg": (False,), "full+fg": (True, False)}[strategy]
        self.receptive_field_layers = {"features": "trunk"}

    def forward(self, image: Tensor) -> Tensor:
        features, proposals = self.trunk(image), self.propose(image)
        return proposals.pasted(self.head(torch.cat([proposals.pooled(features, c) for c in self.contexts], 2)))

    def partition(self, images: Tensor) -> Tensor:
        """The finest region of every pixel of images (N, 3, H, W): int64 (N, H, W), on the CPU.

        Pixels of one region have the same scores, whatever the weights.
        """
        proposals = self.propose(images)
        if isinstance(proposals, Segments):
            return proposals.ids.cpu()
        ids = (proposals.rows[:, None] * proposals.size[1] + proposals.columns).cpu()
        return ids.expand(len(images), -1, -1)

    def evaluation_units(self, images: Tensor, targets: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Pixels of each class in each region, uint32 (N, regions, classes): `proposals`, and of an oracle's: `oracle`.

        `images` (N, 3, H, W) as in training, `targets["labels"]` (N, H, W). What is no class, is not counted; a
        region that an image does not have, has no pixels. The oracle has as many regions as the network may have.
        """
        classes, regions = self.head.score.out_features, self.propose.keywords["regions"]
        labels = targets["labels"].cpu().numpy()
        labelled = labels < min(classes, VOID)
        best = np.stack([oracle(*image, regions) for image in zip(labels, labelled, strict=True)])
        cells = (regions, classes)
        return {
            name: np.stack([_counted(*image, cells) for image in zip(ids, labels, labelled, strict=True)])
            for name, ids in (("proposals", self.partition(images).numpy()), ("oracle", best))
        }


def _counted(ids: np.ndarray, labels: np.ndarray, labelled: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """The labelled pixels of each class in each region of an image: uint32, of shape `cells` (regions, classes)."""
    places = ids[labelled] * cells[1] + labels[labelled]
    return np.bincount(places, minlength=cells[0] * cells[1]).reshape(cells).astype(np.uint32)


@architecture(
    task="segmentation",
    source=PAPER,
    small={"width": 0.125, "fc_channels": 128, "classes": 3},
    constraints=(
        Constraint({"proposals": ("grid", "superpixels"), "levels": (2, 3, 4)}, "only a hierarchy has several levels"),
        Constraint(
            {"proposals": ("grid", "superpixels"), "similarity": "selective_search"},
            "only a hierarchy is made by similarity",
        ),
    ),
)
def region_proposals(
    *,
    proposals: Literal["grid", "superpixels", "hierarchy"] = "hierarchy",
    regions: Annotated[int, Bounds(1, 4096)] = 128,
    levels: Annotated[int, Bounds(1, 4)] = 1,
    similarity: Literal["ward", "selective_search"] = "ward",
    strategy: Literal["full", "fg", "full+fg"] = "full+fg",
    stride: Literal[4, 8, 16] = 16,
    backbone: Annotated[str, Examples("vgg11", "timm:resnet18")] = "vgg16",
    pretrained: str = "none",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    fc_channels: Annotated[int, Bounds(2, 16384)] = 4096,
    norm: Literal["none", "batch"] = "none",
    dropout: Annotated[float, Bounds(0, 0.95)] = 0.5,
    classes: Annotated[int, Bounds(1, 65536)] = 21,
) -> nn.Module:
    """Region proposals, pooled from a shared map, classified, pasted into pixels.

    - `proposals`: a `grid` of rectangles; `superpixels` of Felzenszwalb & Huttenlocher, the smallest joined to its
      most alike neighbour until few enough are left; a `hierarchy` of greedily merged superpixels. What an oracle
      would propose is not a variant, since it needs the labels; `proposal_ceiling` measures it.
    - `regions`: at most so many of the finest level tile the image.
    - `levels` of the hierarchy, each with a quarter of the regions before; a pixel gets the largest score of the
      regions that hold it.
    - `similarity`: what a hierarchy merges first. `ward`: the least growth of the squared error of mean colours;
      `selective_search`: colour histograms, size and fill (Uijlings et al. 2013, without texture).
    - `strategy`: features of a region's context box (`full`), of its own pixels (`fg`), or both.
    - `stride` of the shared map: conv3, conv4 or conv5 of a VGG net.
    - `backbone`: vgg11, vgg13, vgg16, vgg19, or timm:NAME.
    - `pretrained`, of a timm backbone: none, hub (timm's), file:PATH, or package:NAME, an installed package that ships
      the weights.
    - `width` scales the channels of trunk, fc6 and fc7; `norm` puts batch norm into the trunk.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W). Superpixels and hierarchies need scikit-image; they are
    computed on a CPU, image by image. Raises RegistryError for an unknown backbone, or weights that it cannot have.
    """
    trunk = _trunk(backbone, stride, width, norm, pretrained)
    shared = {"regions": regions, "stride": stride}
    merging = {"superpixels": "size", "hierarchy": similarity}
    if proposals == "grid":
        propose = partial(rectangles, **shared)
    else:
        propose = partial(segments, **shared, levels=levels, merging=merging[proposals])
    inputs = trunk.channels * (2 if strategy == "full+fg" else 1)
    return RegionNetwork(trunk, Head(inputs, scaled(fc_channels, width), classes, dropout), propose, strategy)


counted = Published("counted by hand from the layers of VGG-16, behind conv5_3")
facts(
    region_proposals,
    counted("receptive_field/features", 196),
)
