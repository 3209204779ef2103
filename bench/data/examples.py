"""What every dataset's loader returns, and the error of a dataset that is missing. No torch at import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.spec.characters import forbidden_character

if TYPE_CHECKING:
    import torch

IGNORE = 255
"""The label of a pixel that is not counted, in every dataset."""


class DataNotFound(LookupError):  # noqa: N818 - the name says that it is an error
    """A dataset is in none of the places where it was looked for; the message says how to get it."""


@dataclass(frozen=True)
class Examples:
    """Labelled examples in memory.

    `images`: uint8, (N, C, H, W). `targets`: tensors whose first axis is N; segmentation has `labels`,
    uint8 (N, H, W). `names[label]` and `palette[label]` (red, green, blue) describe a class.
    `ignore` is the label that is not counted. `optimum` maps a score to the best that is possible,
    empty where no optimum is derived; `miou@8` is the best for outputs of stride 8. `publishable`: whether
    pictures of the examples may appear in a committed report. `left_out` counts annotations of the split that are
    not among the examples, by reason.
    Raises ValueError where images and targets do not belong together, or a name holds a control character.
    """

    images: torch.Tensor
    targets: Mapping[str, torch.Tensor]
    names: tuple[str, ...]
    ignore: int | None
    palette: tuple[tuple[int, int, int], ...]
    optimum: Mapping[str, float] = field(default_factory=dict)
    publishable: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise ValueError(f"images are (N, C, H, W), not {tuple(self.images.shape)}")
        for name, target in self.targets.items():
            if len(target) != len(self.images):
                raise ValueError(f"{len(self.images)} images, but {len(target)} of target '{name}'")
        for name in self.names:
            if forbidden_character(name):
                raise ValueError(f"the name of a class, {name!a}, holds a control character: leave it out")
        if len(self.palette) != len(self.names):
            raise ValueError(f"{len(self.names)} classes, but {len(self.palette)} colours")

    def __len__(self) -> int:
        return len(self.images)
