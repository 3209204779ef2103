"""Semantic segmentation: a class for every pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.data.examples import IGNORE as VOID
from bench.registry import task
from bench.results.measurement import Evaluation
from bench.structure.modes import in_eval, moved

if TYPE_CHECKING:
    from bench.data.examples import Examples

ZOOM = (0.7, 1.5)
"""Least and greatest scale of the augmentation."""

Outputs = Tensor | Mapping[str, Tensor]


@task(unit="image")
class Segmentation:
    """A class for every pixel: cross-entropy on class scores (B, C, H, W), measured by the confusion matrix."""

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """Bytes 0 to 255 to floats -2 to 2: about unit variance for photographs."""
        return images.float().sub_(127.5).mul_(2 / 127.5)

    @staticmethod
    def augment(images: Tensor, targets: Mapping[str, Tensor], generator: torch.Generator) -> Batch:
        """Flip, zoom with a random crop, gain and brightness, drawn per example from `generator`.

        `images` are prepared floats (B, C, H, W), `targets["labels"]` bytes (B, H, W). Pixels from
        outside an image become grey and void.
        """
        grid = _zoomed_grid(images, generator)
        labels = targets["labels"][:, None].float() - VOID  # so that grid_sample's zero padding means void
        labels = F.grid_sample(labels, grid, mode="nearest", align_corners=False)[:, 0] + VOID
        images = F.grid_sample(images, grid, align_corners=False)
        return _relit(images, generator), {**targets, "labels": labels.to(torch.uint8)}

    @staticmethod
    def loss(outputs: Outputs, targets: Mapping[str, Tensor], weights: Tensor | None = None) -> Tensor:
        """Cross-entropy, with `weights` (C,) of the classes, averaged over labelled pixels; 0 where there are none."""
        labels, scores = targets["labels"].long(), scores_of(outputs).float()
        total = F.cross_entropy(scores, labels, weight=weights, ignore_index=VOID, reduction="sum")
        return total / (labels != VOID).sum().clamp(min=1)

    @staticmethod
    def class_weights(examples: Examples, balance: float) -> Tensor:
        """Weights (C,) of the classes: frequency^-balance, 1 on average over pixels; 0 for a class without pixels."""
        labels = examples.targets["labels"]
        count = torch.bincount(labels[labels != VOID].long(), minlength=len(examples.names)).float()
        frequency = count / count.sum()
        weights = torch.where(count > 0, frequency.clamp(min=1e-12) ** -balance, 0.0)
        return weights / (weights * frequency).sum()

    @staticmethod
    def evaluate(
        model: nn.Module, examples: Examples, device: str = "cpu", mode: str = "fp32", batch: int = 16
    ) -> Evaluation:
        """Of every image: the confusion matrix (N, C, C) and the boundary bands (N, C, 2).

        The network runs in fp32, whatever `mode` it was trained in, so that all variants are evaluated by the same
        arithmetic. Raises ValueError where the scores do not have the labels' size or a label is not a class.
        """
        truth = examples.targets["labels"]
        predictions = predict(model, examples.images, device, batch)
        if predictions.shape != truth.shape:
            raise ValueError(f"scores of size {tuple(predictions.shape)} for labels {tuple(truth.shape)}")
        classes, width = len(examples.names), band_width(*truth.shape[-2:])
        pairs = list(zip(torch.split(truth, batch), torch.split(predictions, batch), strict=True))
        confusion = torch.cat([confusion_matrices(t, p, classes) for t, p in pairs])
        boundary = torch.cat([boundary_counts(t, p, classes, width) for t, p in pairs])
        return Evaluation(
            task="segmentation",
            units={"confusion": confusion.numpy().astype(np.uint32), "boundary": boundary.numpy()},
            names=examples.names,
            samples=_samples(examples, predictions) if examples.publishable else {},
            facts=_facts(examples, mode, width),
        )

    @staticmethod
    def summaries(evaluation: Evaluation) -> dict[str, np.ndarray]:
        """The small arrays that figures read: `class_pixels` (C,), the labelled pixels of each class."""
        return {"class_pixels": evaluation.units["confusion"].sum(axis=(0, 2))}


Batch = tuple[Tensor, dict[str, Tensor]]


def scores_of(outputs: Outputs) -> Tensor:
    """The class scores: the output itself, or its entry `out` (torchvision's networks)."""
    return outputs if isinstance(outputs, Tensor) else outputs["out"]


@torch.inference_mode()
def predict(model: nn.Module, images: Tensor, device: str, batch: int) -> Tensor:
    """The class of the highest score at every pixel, uint8 (N, H, W) on the CPU; the model in eval mode."""
    was_training = model.training
    in_eval(moved(model, layout=torch.contiguous_format))
    predictions = []
    for chunk in torch.split(images, batch):
        scores = scores_of(model(Segmentation.prepare(chunk.to(device))))
        predictions.append(scores.argmax(dim=1).to("cpu", torch.uint8))
    model.train(was_training)
    return torch.cat(predictions)


def confusion_matrices(truth: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Pixel counts int64 (N, C, C) of each image, rows truth, columns prediction, void left out.

    Raises ValueError where a label is neither a class nor void.
    """
    labelled = truth != VOID
    if bool((truth[labelled] >= classes).any()):
        raise ValueError(f"label {int(truth[labelled].max())} is none of the {classes} classes, nor void ({VOID})")
    image = torch.arange(len(truth)).view(-1, 1, 1).expand_as(truth)
    cell = (image * classes + truth.long()) * classes + prediction.long()
    counts = torch.bincount(cell[labelled], minlength=len(truth) * classes * classes)
    return counts.view(len(truth), classes, classes)


def band_width(height: int, width: int) -> int:
    """The width in pixels of boundary bands: 2 % of the image diagonal, at least one (Cheng et al. 2021)."""
    return max(1, round(0.02 * math.hypot(height, width)))


def boundary_counts(truth: Tensor, prediction: Tensor, classes: int, width: int) -> Tensor:
    """Intersection and union, in pixels, of the boundary bands of each class: int64 (N, C, 2).

    Pixels that are void in the truth belong to no band and make no contour; the image's border
    makes one, as in the reference.
    """
    void = (truth == VOID)[:, None]
    index = torch.arange(classes, dtype=torch.uint8).view(1, -1, 1, 1)
    bands = [_band((labels[:, None] == index) & ~void, void, width) for labels in (truth, prediction)]
    both, either = bands[0] & bands[1], bands[0] | bands[1]
    return torch.stack([both.sum(dim=(2, 3)), either.sum(dim=(2, 3))], dim=-1)


def _band(mask: Tensor, void: Tensor, width: int) -> Tensor:
    """The pixels of masks (N, C, H, W) that erosion by a square of 2 width + 1 px removes."""
    outside = F.pad((~(mask | void)).float(), (width,) * 4, value=1.0)
    rows = F.max_pool2d(outside, (2 * width + 1, 1), stride=1)
    return mask & F.max_pool2d(rows, (1, 2 * width + 1), stride=1).bool()


def _zoomed_grid(images: Tensor, generator: torch.Generator) -> Tensor:
    """Where grid_sample reads (B, H, W, 2): the image at ZOOM times its size, half of them mirrored."""
    count, _, height, width = images.shape
    draw = torch.rand(count, 4, 1, generator=generator).to(images.device)
    least, most = ZOOM
    extent = 1 / (least * (most / least) ** draw[:, 0])
    mirror = (draw[:, 1] < 0.5).to(images.dtype) * 2 - 1
    centre = (2 * draw[:, 2:] - 1) * (1 - extent).abs()[:, None]
    x = mirror * (centre[:, 0] + extent * _centres(width, images.device))
    y = centre[:, 1] + extent * _centres(height, images.device)
    shape = (count, height, width)
    return torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=-1)


def _centres(size: int, device: torch.device) -> Tensor:
    """The pixel centres of an axis in grid_sample's coordinates (-1 to 1 are the outer edges)."""
    return (torch.arange(size, device=device) + 0.5) * (2 / size) - 1


def _relit(images: Tensor, generator: torch.Generator) -> Tensor:
    """Gain 0.8 to 1.2 per example and colour, brightness shifted by up to 0.4 of the range -2 to 2."""
    gain = torch.rand(*images.shape[:2], 1, 1, generator=generator).to(images.device)
    shift = torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device)
    return images * (0.8 + 0.4 * gain) + (0.8 * shift - 0.4)


def _samples(examples: Examples, predictions: Tensor, count: int = 4) -> dict[str, Any]:
    """A few images (k, H, W, C) spread over the split, their truths and outputs (k, H, W), as bytes."""
    pick = torch.linspace(0, len(predictions) - 1, min(count, len(predictions))).round().long()
    images = examples.images[pick].permute(0, 2, 3, 1).contiguous()
    chosen = {"images": images, "truths": examples.targets["labels"][pick], "outputs": predictions[pick]}
    return {name: tensor.numpy() for name, tensor in chosen.items()}


def _facts(examples: Examples, mode: str, width: int) -> dict[str, Any]:
    return {
        "optimum": dict(examples.optimum),
        "mode": mode,
        "publishable": examples.publishable,
        "palette": [list(colour) for colour in examples.palette],
        "boundary_band_px": width,
    }
