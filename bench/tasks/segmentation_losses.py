"""The named losses of segmentation, for the setting `train.loss`: each public function is one.

Outputs are class scores (B, C, H, W), or a mapping with the entry `out`; targets have `labels` (B, H, W), where void
pixels do not count. `weights` (C,) are those of the classes, which `train.balance` sets.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data.examples import IGNORE as VOID
from bench.tasks.segmentation import Outputs, Segmentation, scores_of

FOCUS = 2.0
"""The exponent of the focal loss."""


def cross_entropy(outputs: Outputs, targets: Mapping[str, Tensor], weights: Tensor | None = None) -> Tensor:
    """The loss of the task, also where a network has its own."""
    return Segmentation.loss(outputs, targets, weights)


def focal(outputs: Outputs, targets: Mapping[str, Tensor], weights: Tensor | None = None) -> Tensor:
    """Cross-entropy times (1 - p)^2, p the probability of the true class, averaged over labelled pixels.

    Lin et al. 2017, equation 4.
    """
    scores, labels = scores_of(outputs).float(), targets["labels"].long()
    entropy = F.cross_entropy(scores, labels, ignore_index=VOID, reduction="none")
    factor = _of_labels(weights, labels) * (1 - torch.exp(-entropy)) ** FOCUS
    return (factor * entropy).sum() / (labels != VOID).sum().clamp(min=1)


def dice(outputs: Outputs, targets: Mapping[str, Tensor], weights: Tensor | None = None) -> Tensor:
    """1 - Dice of probabilities and labels over the batch, mean over the classes that it has (Milletari et al. 2016).

    Dice of a class: 2 sum(p t) / (sum(p^2) + sum(t^2)) over labelled pixels. 0 where no pixel is labelled.
    """
    scores, labels = scores_of(outputs).float(), targets["labels"].long()
    counted = (labels != VOID)[:, None]
    probability = scores.softmax(dim=1) * counted
    truth = F.one_hot(labels.masked_fill(labels == VOID, 0), scores.shape[1]).movedim(-1, 1) * counted
    both, each = _by_class(probability * truth), _by_class(probability**2) + _by_class(truth**2)
    weight = (_by_class(truth) > 0).float() * (1.0 if weights is None else weights)
    return (weight * (1 - 2 * both / each.clamp(min=1e-6))).sum() / weight.sum().clamp(min=1e-6)


def _by_class(values: Tensor) -> Tensor:
    """Sums (C,) of values (B, C, H, W)."""
    return values.float().sum(dim=(0, 2, 3))


def _of_labels(weights: Tensor | None, labels: Tensor) -> Tensor | float:
    """The weight of each pixel's class; of void pixels that of class 0, which multiplies a loss of 0."""
    return 1.0 if weights is None else weights[labels.masked_fill(labels == VOID, 0)]
