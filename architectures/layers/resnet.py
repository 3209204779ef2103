"""Bottleneck ResNets with atrous convolutions, as segmentation papers and their releases lay them out.

He et al. 2016 (arXiv:1512.03385). What differs between releases is where a stage's stride stands, whether the
unit that would have had a dropped stride is itself dilated, and the stem: it changes positions, receptive
fields and MACs, and not the blocks' parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from architectures.layers.atrous import atrous_convolution, running, unknown_backbone
from architectures.layers.blocks import he_initialise, scaled
from bench.registry import RegistryError

UNITS: Mapping[str, tuple[int, ...]] = {
    "resnet26": (2, 2, 2, 2),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
"""Units in blocks 1 to 4."""
INNER = (64, 128, 256, 512)
EXPANSION = 4
StemName = Literal["64-64-128", "32-32-64", "7x7"]
LayoutName = Literal["slim", "torchvision", "caffe", "dilated"]


@dataclass(frozen=True)
class Layout:
    """Where the stride of a block stands, and the rate of the unit that loses it.

    `unit`: the last unit of blocks 1, 2, .. or the first of blocks 2, 3, ... `kernel`: of the convolution in it
    that has the stride. `late`: a unit that loses its stride keeps the rate before, the units behind it
    have the new one.
    """

    unit: Literal["first", "last"]
    kernel: Literal[1, 3]
    late: bool


LAYOUTS: Mapping[str, Layout] = {
    "slim": Layout("last", 3, late=True),  # TF-slim: DeepLab v3 and v3+
    "torchvision": Layout("first", 3, late=True),  # torchvision's segmentation networks; mmseg's contract_dilation
    "caffe": Layout("first", 1, late=False),  # PSPNet's published network file
    "dilated": Layout("first", 3, late=False),  # every unit of a dilated block has its rate
}


@dataclass(frozen=True)
class Step:
    """Stride and rate of the 3x3 convolution of a unit (the stride stands at the 1x1 before in some layouts)."""

    stride: int
    rate: int


def steps(
    units: Sequence[int], layout: Layout, output_stride: int, multi_grid: Sequence[int] = (1,)
) -> list[list[Step]]:
    """The steps of every block, strides beyond `output_stride` turned into rates.

    From block 4 on the rate of unit i is multiplied by `multi_grid[i]`, repeated where the block has more units.
    Raises RegistryError where so many blocks do not reach the output stride.
    """
    plan, stride, rate = [], 4, 1
    for block, count in enumerate(units):
        plan.append([])
        for index in range(count):
            grid = multi_grid[index % len(multi_grid)] if block >= 3 else 1
            strided = _strided(layout, block, index, units)
            dropped = strided and stride == output_stride
            own = rate if layout.late else rate * (2 if dropped else 1)
            plan[-1].append(Step(2 if strided and not dropped else 1, own * grid))
            rate *= 2 if dropped else 1
            stride *= 2 if strided and not dropped else 1
    if stride != output_stride:
        raise RegistryError(f"{len(units)} blocks have output stride {stride} at most, not {output_stride}")
    return plan


def _strided(layout: Layout, block: int, index: int, units: Sequence[int]) -> bool:
    if layout.unit == "first":
        return block > 0 and index == 0
    return block < len(units) - 1 and index == units[block] - 1


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with batch norm, added to a shortcut: (N, inputs, H, W) -> (N, 4 inner, ..).

    The shortcut is a 1x1 convolution where the channels change, else every `stride`-th cell.
    """

    def __init__(self, inputs: int, inner: int, step: Step, strided_kernel: Literal[1, 3]) -> None:
        super().__init__()
        outputs, early = EXPANSION * inner, step.stride if strided_kernel == 1 else 1
        layers = (
            atrous_convolution("reduce", inputs, inner, 1, stride=early)
            | atrous_convolution("conv", inner, inner, 3, stride=step.stride // early, rate=step.rate)
            | atrous_convolution("increase", inner, outputs, 1)
        )
        del layers["increase_relu"]
        self.residual = running(layers)
        self.shortcut: nn.Module = nn.MaxPool2d(1, step.stride) if step.stride > 1 else nn.Identity()
        if inputs != outputs:
            projection = atrous_convolution("project", inputs, outputs, 1, stride=step.stride)
            del projection["project_relu"]
            self.shortcut = running(projection)
        self.relu = nn.ReLU(inplace=True)
        self.stride = step.stride

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.residual(x)
        return self.relu(y.add_(self.shortcut(x)))


class ResNet(nn.Module):
    """Maps of a ResNet: (N, 3, H, W) -> (low, middle, deepest).

    `low` is the last map of stride 4, `middle` that of block 3, `deepest` that of the last block, of stride
    `output_stride`. Blocks after the fourth are copies of it in shape (DeepLab v3's cascade).
    """

    def __init__(
        self,
        name: str,
        *,
        output_stride: int,
        layout: LayoutName,
        stem: StemName,
        multi_grid: Sequence[int] = (1,),
        blocks: int = 4,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if name not in UNITS:
            raise unknown_backbone(name, list(UNITS))
        units = (*UNITS[name], *[UNITS[name][-1]] * (blocks - 4))
        plan = steps(units, LAYOUTS[layout], output_stride, multi_grid)
        first = running(dict(_stem(stem, width)))
        self.stem = first
        inputs = [layer.out_channels for layer in first if isinstance(layer, nn.Conv2d)][-1]
        self.blocks = nn.ModuleList()
        for block, of_units in enumerate(plan):
            inner = scaled(INNER[min(block, 3)], width)
            sequence = nn.Sequential()
            for step in of_units:
                sequence.append(Bottleneck(inputs, inner, step, LAYOUTS[layout].kernel))
                inputs = EXPANSION * inner
            self.blocks.append(sequence)
        sizes = [EXPANSION * scaled(inner, width) for inner in INNER]
        self.channels = (sizes[0], sizes[2], inputs)
        self.middle_stride = 4
        for of_units in plan[:3]:
            for step in of_units:
                self.middle_stride *= step.stride
        self.output_stride = output_stride
        self.deepest_layer = f"blocks.{len(plan) - 1}"
        he_initialise(self)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low = middle = x = self.stem(image)
        for number, block in enumerate(self.blocks):
            if number == 0:
                for unit in block:
                    x = unit(x)
                    low = x if unit.stride == 1 else low
            else:
                x = block(x)
            middle = x if number == 2 else middle
        return low, middle, x


def _stem(stem: StemName, width: float) -> Iterator[tuple[str, nn.Module]]:
    """Convolution(s) of stride 2 and a 3x3 max pooling of stride 2."""
    if stem == "7x7":
        yield from atrous_convolution("conv1", 3, scaled(64, width), 7, stride=2).items()
    else:
        inputs = 3
        for number, channels in enumerate(map(int, stem.split("-")), start=1):
            outputs, stride = scaled(channels, width), 2 if number == 1 else 1
            yield from atrous_convolution(f"conv1_{number}", inputs, outputs, 3, stride=stride).items()
            inputs = outputs
    yield "pool1", nn.MaxPool2d(3, 2, 1)
