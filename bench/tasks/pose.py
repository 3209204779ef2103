"""Poses: the places of a person's joints.

Networks give a map of logits for every joint, (N, K, h, w), or coordinates (N, K, 2). The stride s of a map is a
power of two with h = ceil(H / s); cell i covers pixels s*i to s*i + s - 1, so that its centre is at
s*i + (s - 1) / 2. Coordinates are x, y in -1 to 1, the outer edges of the image (grid_sample with
align_corners=False). A network of several stages gives a mapping: `out`, the last, first, then `stage1`, ...

Targets: `joints` float32 (N, K, 2), x then y in px, the centre of the first pixel is (0, 0); `visible` uint8 (N, K):
0 not annotated, 1 annotated but occluded, 2 visible; `size` float32 (N, 2), width and height of the image;
`mirror` uint8 (N, K), the joint that a mirror exchanges each with; datasets may add the lengths `torso`
and `head`, float32 (N,), px. `bench.data.people.examples` makes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.registry import task
from bench.results.measurement import Evaluation
from bench.structure.modes import in_eval, moved
from bench.tasks import keypoints
from bench.tasks.decodings import DECODINGS

if TYPE_CHECKING:
    from bench.data.examples import Examples

ANGLE = math.radians(30)
"""The largest angle of the augmentation, to either side."""
ZOOM = (0.8, 1.25)
"""Least and greatest scale of the augmentation."""
SHIFT = 0.1
"""The largest shift of the augmentation, as a fraction of each side."""

Outputs = Tensor | Mapping[str, Tensor]
Batch = tuple[Tensor, dict[str, Tensor]]


@task(unit="joint")
class Pose:
    """Places of joints: cross-entropy over the cells of a map, or distance; measured by distances from the truth."""

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """Bytes 0 to 255 to floats -2 to 2: about unit variance for photographs."""
        return (images.float() - 127.5) * (2 / 127.5)

    @staticmethod
    def augment(images: Tensor, targets: Mapping[str, Tensor], generator: torch.Generator) -> Batch:
        """Rotation, zoom, shift, mirror, gain and brightness, drawn per example from `generator`.

        `images` are prepared floats (B, C, H, W). A mirror exchanges left and right joints. Joints that
        leave the image count as not annotated; pixels from outside are grey.
        """
        matrix, shift = _movement(images, generator)
        joints, visible = _moved(targets, matrix, shift)
        images = F.grid_sample(images, _grid(images, matrix, shift), align_corners=False)
        lit = torch.rand(len(images), images.shape[1] + 1, 1, 1, generator=generator).to(images.device)
        images = images * (0.8 + 0.4 * lit[:, 1:]) + (0.8 * lit[:, :1] - 0.4)
        return images, {**targets, "joints": joints, "visible": visible}

    @staticmethod
    def loss(outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        """The sum over the entries of the outputs, each averaged over annotated joints inside the image.

        Maps: cross-entropy over cells against the joint's place, whose probability is divided among the four nearest
        cells as in bilinear interpolation. Coordinates: |x - x'| + |y - y'|, in half sides of the image. 0 where no
        joint is counted.
        """
        entries = [outputs] if isinstance(outputs, Tensor) else list(outputs.values())
        return torch.stack([_entry_loss(entry.float(), targets) for entry in entries]).sum()

    @staticmethod
    def evaluate(
        model: nn.Module, examples: Examples, device: str = "cpu", mode: str = "fp32", batch: int = 32
    ) -> Evaluation:
        """The predicted place of every joint of every image, by every decoding, in px of the image.

        Units are the joints of images, M = N * K: `image`, `joint` and `visible` (M,); `truth` (M, 2); one of
        DECODINGS each, or `regressed` of a network that gives coordinates, (M, 2); `torso` and `head` (M,) where the
        data have them. The network runs in fp32, whatever `mode` it was trained in.
        `model.loss.probabilities(maps)` converts maps that are not logits.
        Raises ValueError where outputs do not fit the image or the joints.
        """
        places = predict(model, examples, device, batch)
        count, joints = examples.targets["visible"].shape
        image, joint = np.indices((count, joints)).reshape(2, -1)
        units: dict[str, np.ndarray[Any, Any]] = {"image": image.astype(np.int32), "joint": joint.astype(np.uint8)}
        units["visible"] = examples.targets["visible"].numpy().reshape(-1)
        units["truth"] = examples.targets["joints"].numpy().reshape(-1, 2)
        units |= {name: place.numpy().reshape(-1, 2) for name, place in places.items()}
        lengths = {name: examples.targets[name] for name in ("torso", "head") if name in examples.targets}
        units |= {name: length.numpy().repeat(joints) for name, length in lengths.items()}
        return Evaluation(
            task="pose",
            units=units,
            names=examples.names,
            samples=_samples(model, examples, device) if examples.publishable else {},
            facts=_facts(examples, mode),
        )

    summaries = staticmethod(keypoints.summaries)


def out_of(outputs: Outputs) -> Tensor:
    """The last stage: the output itself, or its entry `out`."""
    return outputs if isinstance(outputs, Tensor) else outputs["out"]


def stride_of(size: tuple[int, int], cells: tuple[int, int]) -> int:
    """The stride of a map of `cells` (h, w) for an image of `size` (H, W): the power of two s with h = ceil(H / s).

    Where several strides fit, it is the least. Raises ValueError where none does.
    """
    stride = 1 << max(0, math.ceil(math.log2(max(side / n for side, n in zip(size, cells, strict=True)))))
    if any(-(-side // stride) != n for side, n in zip(size, cells, strict=True)):
        raise ValueError(
            f"a map of {cells[0]} x {cells[1]} cells has no stride of 1, 2, 4, .. in {size[0]} x {size[1]} px"
        )
    return stride


def pixels(coordinates: Tensor, width: float, height: float) -> Tensor:
    """Coordinates (..., 2) from -1 to 1 in px."""
    side = torch.tensor([width, height], device=coordinates.device, dtype=coordinates.dtype)
    return ((coordinates + 1) * side - 1) / 2


def softmax(maps: Tensor) -> Tensor:
    """Logits (N, K, h, w) as probabilities of the cells."""
    return maps.flatten(2).softmax(-1).view_as(maps)


def probabilities_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The function from this network's maps to probabilities of cells: its loss's own, else the softmax of logits."""
    probabilities: Callable[[Tensor], Tensor] = getattr(getattr(model, "loss", None), "probabilities", softmax)
    return probabilities


@torch.inference_mode()
def predict(model: nn.Module, examples: Examples, device: str, batch: int) -> dict[str, Tensor]:
    """Places (N, K, 2) in px on the CPU by decoding, or `regressed`; the model in eval mode."""
    was_training = model.training
    in_eval(moved(model, layout=torch.contiguous_format))
    places_by_name: dict[str, list[Tensor]] = {}
    for chunk in torch.split(examples.images, batch):
        out = out_of(model(Pose.prepare(chunk.to(device)))).float()
        if out.shape[1] != len(examples.names):
            raise ValueError(f"the network has {out.shape[1]} joints, the data {len(examples.names)}")
        for name, places in decoded(out, (chunk.shape[-2], chunk.shape[-1]), probabilities_of(model)).items():
            places_by_name.setdefault(name, []).append(places.cpu())
    model.train(was_training)
    return {name: torch.cat(places) for name, places in places_by_name.items()}


def decoded(out: Tensor, size: tuple[int, int], probabilities: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Places in px (N, K, 2) by decoding, of images of `size` (H, W)."""
    if out.ndim == 3:
        return {"regressed": pixels(out, size[1], size[0])}
    stride, maps = stride_of(size, (out.shape[-2], out.shape[-1])), probabilities(out)
    return {name: decode(maps) * stride + (stride - 1) / 2 for name, decode in DECODINGS.items()}


def counted(targets: Mapping[str, Tensor]) -> Tensor:
    """Which joints (N, K) count in a loss: those annotated and inside the image."""
    return (targets["visible"] > 0) & _inside(targets["joints"], targets["size"])


def spatial_cross_entropy(maps: Tensor, joints: Tensor, stride: int) -> Tensor:
    """For logits (N, K, h, w) and places (N, K, 2) in px: nats (N, K), against the place's four nearest cells."""
    height, width = maps.shape[-2:]
    logs = maps.flatten(2).log_softmax(-1)
    last = torch.tensor([width - 1.0, height - 1.0], device=maps.device)
    cell = ((joints - (stride - 1) / 2) / stride).clamp(min=0).minimum(last)
    low = cell.floor()
    fraction, high = cell - low, (low + 1).minimum(last)
    total = torch.zeros_like(cell[..., 0])
    for x, weight_x in ((low[..., 0], 1 - fraction[..., 0]), (high[..., 0], fraction[..., 0])):
        for y, weight_y in ((low[..., 1], 1 - fraction[..., 1]), (high[..., 1], fraction[..., 1])):
            index = (y * width + x).long()[..., None]
            total = total - weight_x * weight_y * logs.gather(-1, index)[..., 0]
    return total


def _entry_loss(entry: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    counts, size = counted(targets), targets["size"]
    if entry.ndim == 3:
        truth = (2 * targets["joints"] + 1) / size[:, None] - 1
        by_joint = (entry - truth).abs().sum(-1)
    else:
        width, height = (int(side) for side in size[0])
        stride = stride_of((height, width), (entry.shape[-2], entry.shape[-1]))
        by_joint = spatial_cross_entropy(entry, targets["joints"], stride)
    return (by_joint * counts).sum() / counts.sum().clamp(min=1)


def _inside(joints: Tensor, size: Tensor) -> Tensor:
    """Which places (N, K, 2) in px lie on an image of `size` (N, 2), its outer edges included."""
    return ((joints >= -0.5) & (joints <= size[:, None] - 0.5)).all(-1)


def _movement(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Per example a matrix (B, 2, 2) and a shift (B, 2) in px: where the image is read, relative to its centre."""
    draw = torch.rand(len(images), 5, generator=generator).to(images.device)
    angle = (2 * draw[:, 0] - 1) * ANGLE
    least, most = ZOOM
    extent = 1 / (least * (most / least) ** draw[:, 1])
    mirror = (draw[:, 2] < 0.5).to(images.dtype) * 2 - 1
    cos, sin = angle.cos() * extent, angle.sin() * extent
    matrix = torch.stack([cos * mirror, -sin, sin * mirror, cos], -1).view(-1, 2, 2)
    sides = torch.tensor([images.shape[-1], images.shape[-2]], device=images.device, dtype=images.dtype)
    return matrix, (2 * draw[:, 3:] - 1) * SHIFT * sides


def _grid(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Where grid_sample reads (B, H, W, 2), from matrices and shifts in px."""
    sides = torch.tensor([images.shape[-1], images.shape[-2]], device=images.device, dtype=images.dtype)
    theta = torch.cat([matrix * sides / sides[:, None], (2 * shift / sides)[..., None]], -1)
    return F.affine_grid(theta, list(images.shape), align_corners=False)


def _moved(targets: Mapping[str, Tensor], matrix: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Joints and flags where the image is read at matrix * place + shift; mirrored ones exchanged."""
    size = targets["size"]
    centre = ((size - 1) / 2)[:, None]
    joints = (targets["joints"] - centre - shift[:, None]) @ matrix.inverse().transpose(1, 2) + centre
    own = torch.arange(joints.shape[1], device=joints.device).expand(joints.shape[:2])
    order = torch.where((matrix.det() < 0)[:, None], targets["mirror"].long(), own)
    joints = joints.gather(1, order[..., None].expand_as(joints))
    visible = targets["visible"].gather(1, order)
    return joints, visible * _inside(joints, size)


SAMPLES = 4
"""Images that are shown."""


@torch.inference_mode()
def _samples(model: nn.Module, examples: Examples, device: str) -> dict[str, Any]:
    """A few images (k, H, W, C), their numbers (k,), and the output of each stage for them.

    `stage:NAME` are probabilities (k, K, h, w) as bytes, each map's largest 255, or coordinates (k, K, 2) in px.
    """
    pick = torch.linspace(0, len(examples) - 1, min(SAMPLES, len(examples))).round().long()
    was_training = model.training
    outputs = in_eval(model)(Pose.prepare(examples.images[pick].to(device)))
    model.train(was_training)
    stages = {"out": outputs} if isinstance(outputs, Tensor) else outputs
    size, probabilities = (examples.images.shape[-2], examples.images.shape[-1]), probabilities_of(model)
    entries = {f"stage:{name}": _shown(entry.float().cpu(), size, probabilities) for name, entry in stages.items()}
    images = examples.images[pick].permute(0, 2, 3, 1).contiguous()
    return {"images": images.numpy(), "numbers": pick.numpy(), **entries}


def _shown(entry: Tensor, size: tuple[int, int], probabilities: Callable[[Tensor], Tensor]) -> Any:
    if entry.ndim == 3:
        return pixels(entry, size[1], size[0]).numpy()
    maps = probabilities(entry)
    return (255 * maps / maps.amax((-2, -1), keepdim=True)).round().to(torch.uint8).numpy()


def _facts(examples: Examples, mode: str) -> dict[str, Any]:
    return {
        "optimum": dict(examples.optimum),
        "mode": mode,
        "publishable": examples.publishable,
        "palette": [list(colour) for colour in examples.palette],
        "size": list(examples.images.shape[-2:]),
        "left_out": dict(examples.left_out),
    }
