"""A classifier slid over the image, window by window or as one convolutional pass with the same scores.

Long, Shelhamer & Darrell 2015 (arXiv:1411.4038), section 3.1; Sermanet et al. 2014 (arXiv:1312.6229), section 3.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.classifiers import IMAGE, convolutionalise, grid_behind, window_classifier
from bench.registry import Bounds, Published, architecture, facts

PAPER = "Long et al. 2015, arXiv:1411.4038"


def _bare(classifier: nn.Sequential) -> nn.Sequential:
    """The classifier without the padding of its layers, so that a window's rim is computed like its middle."""
    for module in classifier.modules():
        if isinstance(module, nn.Conv2d):
            module.padding = (0, 0)
    return classifier


class EveryWindow(nn.Module):
    """The classifier on a batch of all windows: (N, 3, H, W) -> (N, classes, rows, columns)."""

    def __init__(self, classifier: nn.Sequential, window: int, stride: int) -> None:
        super().__init__()
        self.classifier, self.window, self.stride = classifier, window, stride

    def forward(self, framed: Tensor) -> Tensor:
        windows = framed.unfold(2, self.window, self.stride).unfold(3, self.window, self.stride)
        windows = windows.permute(0, 2, 3, 1, 4, 5)
        scores: Tensor = self.classifier(windows.flatten(0, 2)).unflatten(0, windows.shape[:3])
        return scores.permute(0, 3, 1, 2)


class SlidingWindow(nn.Module):
    """Scores on windows, bilinear to the image: (N, 3, H, W) -> logits (N, classes, H, W).

    The windows' centres stand `stride` px apart and tile the image; beyond its rim there are zeros.
    """

    def __init__(self, scores: nn.Module, window: int, stride: int) -> None:
        super().__init__()
        self.scores, self.window, self.stride = scores, window, stride
        self.receptive_field_taps = {"scores": "scores"}

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        before = (self.window - self.stride) // 2
        below, right = (self.window - before - self.stride + -side % self.stride for side in (height, width))
        scores = self.scores(F.pad(image, [before, right, before, below]))
        whole = F.interpolate(scores, scale_factor=self.stride, mode="bilinear", align_corners=False)
        return whole[..., :height, :width]


def _window(layers: Iterable[nn.Module]) -> int:
    """The side in pixels of the window that unpadded layers shrink to a single cell."""
    side = 1
    for layer in reversed(list(layers)):
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
            kernel, stride = (v[0] if isinstance(v, tuple) else v for v in (layer.kernel_size, layer.stride))
            side = (side - 1) * stride + kernel
    return side


@architecture(
    task="segmentation",
    source=PAPER,
    small={"width": 0.125, "fc_channels": 128, "classes": 3},
)
def sliding_window(
    *,
    evaluation: Literal["dense", "windows"] = "dense",
    backbone: Literal["alexnet", "vgg16"] = "alexnet",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    fc_channels: Annotated[int, Bounds(2, 16384)] = 4096,
    classes: Annotated[int, Bounds(1, 65536)] = 21,
) -> nn.Module:
    """A classifier on every window of the image, one by one or all in one pass: equal scores at unequal cost.

    - `evaluation`: `windows` runs the classifier on a batch of all windows; `dense` has its linear layers as
      convolutions and runs once over the image.
    - `backbone`: the classifier, without the padding of its layers, so that both give the same; its window is then
      as wide as its receptive field, 355 px for AlexNet and 404 px for VGG-16, at a stride of 32 px.
    - `width` scales the channels of all layers but the scores, `fc_channels` among them.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W).
    """
    classifier = _bare(window_classifier(backbone=backbone, width=width, fc_channels=fc_channels, classes=classes))
    dense = convolutionalise(classifier)
    window, stride = _window(dense), int(grid_behind(dense, IMAGE).stride)
    return SlidingWindow(dense if evaluation == "dense" else EveryWindow(classifier, window, stride), window, stride)


paper = Published(PAPER)
facts(
    sliding_window,
    paper("receptive_field/scores", 404, backbone="vgg16"),
    paper("receptive_field/scores", 355, backbone="alexnet"),
    paper("receptive_field/scores", 404, backbone="vgg16", evaluation="windows"),
    paper("receptive_field/scores", 355, backbone="alexnet", evaluation="windows"),
    paper("output_stride/scores", 32),
)
