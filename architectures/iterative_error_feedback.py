"""Iterative error feedback: a network corrects its own estimate, which is drawn on the image.

Carreira, Agrawal, Fragkiadaki & Malik, CVPR 2016 (arXiv:1507.06550). Poses are coordinates (N, K, 2) in -1 to 1,
the outer edges of the image.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import Norm, convolution, he_initialise, scaled
from architectures.layers.classifiers import BACKBONES
from architectures.layers.classifiers import Style as Classifier
from architectures.layers.heatmaps import gaussians, staged
from architectures.layers.pyramid import TimmPyramid
from bench.registry import Bounds, Constraint, Examples, RegistryError, architecture, suggestion

PAPER = "Carreira et al. 2016, arXiv:1507.06550"
DRAWN = 0.04
"""Standard deviation of a drawn joint, in heights of the image: ours."""
SMALL = (32, 64, 128, 256)
"""Channels of the small encoder at strides 2, 4, 8, 16."""

Predicted = Literal["correction", "pose"]
Path = Literal["fixed", "own"]


def limited(vectors: Tensor, length: float) -> Tensor:
    """Vectors (..., 2), those longer than `length` cut to it (the paper's equation 8)."""
    return vectors * (length / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp(min=length))


def drawn(pose: Tensor, height: int, width: int) -> Tensor:
    """A pose (N, K, 2) as maps (N, K, height, width), a Gaussian of height 1 for each joint."""
    sides = torch.tensor([width, height], dtype=pose.dtype, device=pose.device)
    return gaussians(((pose + 1) * sides - 1) / 2, (height, width), 1, DRAWN * height)


def annotated(targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Joints (N, K, 2) in -1 to 1, and which of them (N, K) are annotated and inside the image."""
    joints = (2 * targets["joints"] + 1) / targets["size"][:, None] - 1
    return joints, (targets["visible"] > 0) & (joints.abs() <= 1).all(-1)


class Padded(nn.Module):
    """A timm network's deepest map, the image filled up with zeros to a multiple of its stride."""

    def __init__(self, name: str, inputs: int) -> None:
        super().__init__()
        self.pyramid = TimmPyramid(name, 32, inputs)
        self.out_channels = self.pyramid.channels[-1]

    def forward(self, x: Tensor) -> Tensor:
        below, right = (-side % self.pyramid.multiple for side in x.shape[-2:])
        return self.pyramid(F.pad(x, [0, right, 0, below]))[-1]


def _encoder(backbone: str, inputs: int, width: float, norm: Norm, dropout: float) -> tuple[nn.Module, int]:
    """(what makes maps of an image with drawn joints, their channels)."""
    if backbone == "small":
        encoder = nn.Sequential(OrderedDict(_small(inputs, width, norm)))
        return encoder, scaled(SMALL[-1], width)
    if backbone == "googlenet":
        layers = BACKBONES[backbone].layers(Classifier(width, norm, dropout, "same"))
        layers |= convolution("conv1", inputs, scaled(64, width), 7, stride=2, padding=3, norm=norm)
        return nn.Sequential(OrderedDict(layers)), layers["inception_5b"].out_channels
    if backbone.startswith("timm:"):
        network = Padded(backbone.removeprefix("timm:"), inputs)
        return network, network.out_channels
    raise RegistryError(
        f"no backbone is called '{backbone}'{suggestion(backbone, ['googlenet', 'small', 'timm:NAME'])}"
    )


def _small(inputs: int, width: float, norm: Norm) -> dict[str, nn.Module]:
    """Two 3x3 convolutions and a pooling at each of four sizes."""
    layers: dict[str, nn.Module] = {}
    for level, channels in enumerate((scaled(c, width) for c in SMALL), start=1):
        for number in (1, 2):
            layers |= convolution(f"conv{level}_{number}", inputs, channels, 3, padding=1, norm=norm)
            inputs = channels
        layers[f"pool{level}"] = nn.MaxPool2d(2, ceil_mode=True)
    return layers


class IterativeErrorFeedback(nn.Module):
    """Poses, one after the other: (N, 3, H, W) -> {out, stage1, ...}, coordinates (N, K, 2) in -1 to 1.

    In training it gives what `loss` reads: `poses` (N, T, K, 2) that were drawn, and `predicted` (N, T, K, 2),
    what was made of them. Those of the fixed path need the targets: then only the first step is among them, and
    `image` goes along for `loss` to run the others. `start` is the first drawn pose; its own part of
    the loss, |start - truth|, makes it the median of the training poses, as in the paper.
    """

    def __init__(
        self,
        encoder: nn.Module,
        channels: int,
        joints: int,
        *,
        steps: int,
        cells: int,
        bound: float,
        predict: Predicted,
        feedback: bool,
        path: Path,
    ) -> None:
        super().__init__()
        self.encoder, self.cells, self.steps = encoder, cells, steps
        self.bound, self.predict, self.feedback, self.path = 2 * bound, predict, feedback, path
        self.head = nn.Linear(channels * cells**2, 2 * joints)
        self.start = nn.Parameter(torch.zeros(joints, 2))
        he_initialise(self)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        pose = self.start.detach().expand(len(image), -1, -1)
        poses, predicted = [], []
        for _ in range(1 if self.training and self.path == "fixed" else self.steps):
            poses.append(pose)
            predicted.append(self.predicted(image, pose))
            pose = self.moved(pose, predicted[-1])
            pose = pose.detach() if self.training else pose
        if not self.training:
            return staged([*poses[1:], pose])
        outputs = {"predicted": torch.stack(predicted, 1), "poses": torch.stack(poses, 1)}
        return outputs | ({"image": image} if self.path == "fixed" else {})

    def predicted(self, image: Tensor, pose: Tensor) -> Tensor:
        """What the network says of an image (N, 3, H, W) with a pose drawn on it: (N, K, 2), in bounds."""
        height, width = image.shape[-2:]
        seen = torch.cat([image, drawn(pose, height, width)], 1) if self.feedback else image
        features = F.adaptive_avg_pool2d(self.encoder(seen), self.cells).flatten(1)
        return self.head(features).unflatten(1, self.start.shape)

    def moved(self, pose: Tensor, predicted: Tensor) -> Tensor:
        """The next pose: corrected by no more than the bound, or the one that was predicted."""
        if self.predict == "correction":
            return pose + limited(predicted * self.bound, self.bound)
        return self.start.detach() + predicted * self.bound

    def target(self, pose: Tensor, truth: Tensor) -> Tensor:
        """The right prediction where `pose` is drawn, in bounds."""
        if self.predict == "correction":
            return limited(truth - pose, self.bound) / self.bound
        return (truth - self.start.detach()).expand_as(pose) / self.bound

    def loss(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Squared distance of predictions from the right ones, in bounds, averaged over annotated joints and steps."""
        truth, is_annotated = annotated(targets)
        poses, predicted = outputs["poses"], outputs["predicted"]
        if "image" in outputs:
            rest = self._fixed_path(poses[:, 0], truth, is_annotated)
            poses = torch.stack([poses[:, 0], *rest], 1)
            predicted = torch.cat([predicted, *(self.predicted(outputs["image"], pose)[:, None] for pose in rest)], 1)
        errors = (predicted - self.target(poses, truth[:, None])).square().sum(-1).mean(1)
        errors = errors + (self.start - truth).abs().sum(-1)
        return (errors * is_annotated).sum() / is_annotated.sum().clamp(min=1)

    def _fixed_path(self, pose: Tensor, truth: Tensor, is_annotated: Tensor) -> list[Tensor]:
        """The poses of the later steps, had each correction been right; joints without annotation stay."""
        path = [pose]
        for _ in range(self.steps - 1):
            path.append(path[-1] + limited(truth - path[-1], self.bound) * is_annotated[..., None])
        return path[1:]


@architecture(
    task="pose",
    source=PAPER,
    small={"width": 0.125, "joints": 4},
    constraints=(
        Constraint({"feedback": False, "steps": (2, 3, 4)}, "without its estimate as input a network repeats it"),
    ),
)
def iterative_error_feedback(
    *,
    steps: Annotated[int, Bounds(1, 4)] = 4,
    feedback: bool = True,
    predict: Literal["correction", "pose"] = "correction",
    path: Literal["fixed", "own"] = "fixed",
    bound: Annotated[float, Bounds(0.001, 2)] = 0.0893,
    backbone: Annotated[str, Examples("small", "timm:resnet18")] = "googlenet",
    cells: Annotated[int, Bounds(1, 8)] = 1,
    norm: Literal["none", "batch"] = "none",
    dropout: Annotated[float, Bounds(0, 0.95)] = 0.0,
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    joints: Annotated[int, Bounds(1, 4096)] = 16,
) -> nn.Module:
    """Iterative error feedback: corrections of a pose that is drawn on the image, a few times over.

    - `steps`: corrections, by one network. The paper trains them one after the other, here all are trained at once.
    - `feedback`: whether the current pose is drawn; one step without it, that predicts the pose, is plain regression.
    - `predict`: a correction of at most `bound`, or the pose itself at once (the paper's iterative direct prediction).
    - `path`, in training: `fixed` shows the poses that right corrections would lead to (fixed path consolidation),
      `own` those that the network's own lead to.
    - `bound`: the longest correction, in sides of the image: 20 px of 224.
    - `backbone`: googlenet (the paper's), small (eight 3x3 convolutions), or timm:NAME, untrained.
      `norm`, `dropout` and `width` are not for timm's.
    - `cells`: features are averaged over so many cells a side; 1 is global pooling.

    Inputs (N, 3, H, W), outputs {out, stage1, ...}, coordinates (N, joints, 2) in -1 to 1, x then y.
    Raises RegistryError for an unknown backbone.
    """
    encoder, channels = _encoder(backbone, 3 + joints * feedback, width, norm, dropout)
    return IterativeErrorFeedback(
        encoder,
        channels,
        joints,
        steps=steps,
        cells=cells,
        bound=bound,
        predict=predict,
        feedback=feedback,
        path=path,
    )
