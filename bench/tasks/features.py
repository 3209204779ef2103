"""The feature net of `fid_local` and `kid_local`: trained here on the labels of the dataset, without a download.

It is trained on the classes of every other image of the evaluation split; the features of the remaining images are
compared with those of samples. The same images give the same net: seed, order and arithmetic are fixed. Its distances
can be compared only between networks on the same dataset; they are not Inception's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.hardware.stopwatch import thread_count

WIDTH = 64
"""Features of an image."""
STEPS = 300
BATCH = 64
RATE = 2e-3
MOST = 2048
"""The largest number of real images whose features are stored."""


class FeatureNet(nn.Module):
    """Two strided convolutions, a mean over a 4 x 4 grid, WIDTH features, scores of the classes of each factor."""

    def __init__(self, channels: int, classes: int, factors: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 16, 3, stride=2, padding=1)
        self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.describe = nn.Linear(32 * 16, WIDTH)
        self.classify = nn.Linear(WIDTH, classes * factors)
        self.classes = classes

    def features(self, images: Tensor) -> Tensor:
        """Bytes (N, C, H, W) to (N, WIDTH), before the rectifier."""
        x = F.relu(self.first(images.float() / 127.5 - 1))
        described: Tensor = self.describe(F.adaptive_avg_pool2d(F.relu(self.second(x)), 4).flatten(1))
        return described

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (N, classes, factors)."""
        scores: Tensor = self.classify(F.relu(self.features(images)))
        return scores.view(len(images), self.classes, -1)


@dataclass(frozen=True)
class Features:
    """The trained net, features (R, WIDTH) of real images that it was not trained on, and facts about it."""

    net: FeatureNet
    real: Tensor
    facts: Mapping[str, Any]

    def of(self, images: Tensor) -> Tensor:
        """Bytes (N, C, H, W) to features (N, WIDTH)."""
        with torch.no_grad():
            return torch.cat([self.net.features(part) for part in torch.split(images, 256)])


def trained_features(images: Tensor, labels: Tensor) -> Features:
    """Train on images 0, 2, 4, ... (bytes) and describe 1, 3, 5, ...; torch's own generators are not changed.

    `labels` (N,), or (N, factors) where images differ in several ways: a net trained on one factor need not represent
    the others.
    """
    labels = labels.view(len(labels), -1)
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), thread_count(1):  # threads would reorder sums
        torch.manual_seed(0)
        net = FeatureNet(images.shape[1], int(labels.max()) + 1, labels.shape[1])
        _train(net, images[0::2], labels[0::2].long())
    rest = images[1::2]
    with torch.no_grad():
        predicted = torch.cat([net(part).argmax(dim=1) for part in torch.split(rest, 256)])
    accuracy = float((predicted == labels[1::2]).double().mean())
    described = Features(net.eval().requires_grad_(False), torch.empty(0), {})
    facts = {"weights": weights_hash(net), "accuracy": accuracy, "width": WIDTH, "trained_on": len(images[0::2])}
    return Features(net, described.of(rest[:MOST]), facts)


def _train(net: FeatureNet, images: Tensor, labels: Tensor) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    order = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        chosen = torch.randint(len(images), (BATCH,), generator=order)
        loss = F.cross_entropy(net(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def weights_hash(net: nn.Module) -> str:
    """16 hexadecimal digits of the SHA-256 of the weights."""
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
