"""Every registered family as test cases: at its defaults, at every value of its axes, whole or small.

Families are taken from the registry and describe themselves: `small` holds axis values of a network that trains within
a fraction of a second, annotations list the values of axes. CONTRACTS holds the inputs and outputs of each task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from bench.registry import Architecture, Axis, RegistryError, text_of
from bench.registry.catalogue import declarations, live
from bench.tasks.generation import Generation
from bench.tasks.pose import Pose, out_of
from bench.tasks.segmentation import Segmentation, scores_of

SIZES = ((64, 65), (127, 70), (120, 160), (224, 224), (64, 64), (65, 99))
Axes = Mapping[str, Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class Contract:
    """Inputs and outputs of the networks of a task, in a batch of two, as functions of their axes.

    `sizes`: valid heights and widths; a training step, an evaluation and the structure of a whole network are tested
    at `train_size`, `eval_size` and `whole_size`. `fits` says whether an output shape is right for an input size.
    """

    inputs: Callable[[Size, Axes], Tensor]
    targets: Callable[[Size, Axes], Mapping[str, Tensor]]
    loss: Callable[[Any, Mapping[str, Tensor]], Tensor]
    answer: Callable[[Any], Tensor]
    fits: Callable[[tuple[int, ...], Size, Axes], bool]
    sizes: Callable[[Axes], Sequence[Size]] = lambda axes: SIZES
    train_size: Callable[[Axes], Size] = lambda axes: (71, 64)
    eval_size: Callable[[Axes], Size] = lambda axes: (65, 80)
    whole_size: Callable[[Axes], Size] = lambda axes: (96, 80)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def coloured(size: Size, axes: Axes) -> Tensor:
    """Images of three channels, unless the family has an axis for them."""
    return torch.randn(2, axes.get("channels", 3), *size, generator=generator())


def people(size: Size, axes: Axes) -> dict[str, Tensor]:
    """Joints anywhere in the image, all but one of them annotated; the first two are each other's mirror image."""
    joints = axes["joints"]
    sides = torch.tensor([size[1], size[0]], dtype=torch.float32)
    visible = torch.full((2, joints), 2, dtype=torch.uint8)
    visible[0, -1] = 0
    return {
        "joints": torch.rand(2, joints, 2, generator=generator()) * (sides - 1),
        "visible": visible,
        "size": sides.expand(2, 2),
        "mirror": torch.tensor([1, 0, *range(2, joints)], dtype=torch.uint8).expand(2, -1),
    }


def maps_or_coordinates(shape: tuple[int, ...], size: Size, axes: Axes) -> bool:
    """Whether the output is the coordinates of all joints, or their maps at a stride of 1, 2, 4, .. or 64."""
    joints = axes["joints"]
    strides = [2**power for power in range(7)]
    maps = [(2, joints, -(-size[0] // stride), -(-size[1] // stride)) for stride in strides]
    return shape in [(2, joints, 2), *maps]


def own_size(axes: Axes) -> Size:
    """Generative networks have an axis `size`: the side of the square images that they sample and most require."""
    return axes["size"], axes["size"]


def image_of_levels(size: Size, axes: Axes) -> Tensor:
    """Levels 0 to levels - 1, uint8 (2, C, H, W), the same at each call."""
    shape = (2, axes["channels"], *size)
    return torch.randint(0, axes["levels"], shape, generator=generator(), dtype=torch.uint8)


CONTRACTS = {
    "segmentation": Contract(
        inputs=coloured,
        targets=lambda size, axes: {
            "labels": torch.randint(0, axes["classes"], (2, *size), generator=generator(), dtype=torch.uint8)
        },
        loss=Segmentation.loss,
        answer=scores_of,
        fits=lambda shape, size, axes: shape == (2, axes["classes"], *size),
    ),
    "pose": Contract(
        inputs=coloured,
        targets=people,
        loss=Pose.loss,
        answer=out_of,
        fits=maps_or_coordinates,
    ),
    "generation": Contract(
        inputs=lambda size, axes: image_of_levels(size, axes) * (2.0 / (axes["levels"] - 1)) - 1,
        targets=lambda size, axes: {"pixels": image_of_levels(size, axes)},
        loss=Generation.loss,
        answer=scores_of,
        # Parameters of a distribution at every pixel, or one score of the whole image.
        fits=lambda shape, size, axes: shape[0] == 2 and (shape[2:] == size or shape[1:] in ((), (1,))),
        sizes=lambda axes: (own_size(axes),),
        train_size=own_size,
        eval_size=own_size,
        whole_size=own_size,
    ),
}


@dataclass(frozen=True)
class Case:
    """A family at its defaults, or with one `axis` at another `value`."""

    family: str
    axis: str = ""
    value: Any = None

    def __str__(self) -> str:
        return f"{self.family}({self.axis}={text_of(self.value)})" if self.axis else f"{self.family}()"

    @property
    def entry(self) -> Architecture:
        return family(self.family)

    @property
    def contract(self) -> Contract:
        return CONTRACTS[self.entry.task]

    def whole(self) -> tuple[nn.Module, Axes]:
        """(the network of full size, on the meta device; its axes)."""
        axes = self.entry.resolve(legal(self))
        with torch.device("meta"):
            return self.entry.build(**axes).eval(), axes

    def small_on_meta(self) -> tuple[nn.Module, Axes]:
        """As `small`, on the meta device, in evaluation mode."""
        with torch.device("meta"):
            network, axes = self.small()
        return network.eval(), axes

    def small(self, seed: int = 0) -> tuple[nn.Module, Axes]:
        """(the network that the family declares as `small`, this axis changed; its axes)."""
        axes = self.entry.resolve(self.entry.small | legal(self))
        torch.manual_seed(seed)
        return self.entry.build(**axes), axes


@cache
def family(name: str) -> Architecture:
    return live(declared(name))


def values(axis: Axis) -> tuple[Any, ...]:
    """The values of an axis that can be listed: its choices, both booleans, the ends of its bounds, None."""
    listed = axis.choices or ((False, True) if axis.kind == "bool" else ())
    if axis.bounds and axis.kind in ("int", "float"):
        listed = tuple(axis.parse({"int": int, "float": float}[axis.kind](end)) for end in ends(axis))
    return (*listed, None) if axis.optional else listed


def ends(axis: Axis) -> Iterator[float]:
    assert axis.bounds
    yield from (end for end in (axis.bounds.low, axis.bounds.high) if abs(end) != float("inf"))


@cache
def legal(case: Case) -> dict[str, Any]:
    """The value, and one other axis if the value needs it to be legal. Fails where one other axis is not enough."""
    chosen = {case.axis: case.value} if case.axis else {}
    others = [{a.name: v} for a in case.entry.axes for v in values(a) if chosen and a.name != case.axis]
    for extra in ({}, *others):
        try:
            with torch.device("meta"):
                case.entry.build(**case.entry.small | extra | chosen)
        except RegistryError:
            continue
        return extra | chosen
    raise AssertionError(f"no legal variant of {case} differs in at most one other axis")


def defaults() -> list[Case]:
    return [Case(entry.name) for entry in declarations().architectures if entry.task in CONTRACTS]


def is_layout(axis: Axis) -> bool:
    """Whether the axis changes the layers, and not only the size of the network, as a number does."""
    return axis.kind in ("choice", "bool")


def layouts() -> list[Case]:
    """The defaults, and every other value of every axis that changes the layers; for networks of full size."""
    return [*defaults(), *(case for case, axis in _values_of_axes() if is_layout(axis) and case.value != axis.default)]


def small_layouts() -> list[Case]:
    """The same for small networks: every value that the small network does not have already."""
    changed = (
        case
        for case, axis in _values_of_axes()
        if is_layout(axis) and case.value != declared(case.family).small.get(axis.name, axis.default)
    )
    return [*defaults(), *changed]


def ends_of_numbers() -> list[Case]:
    """The smallest and the largest value of every number, and None where an axis takes it."""
    return [case for case, axis in _values_of_axes() if not is_layout(axis) and case.value != axis.default]


def _values_of_axes() -> Iterator[tuple[Case, Axis]]:
    for default in defaults():
        for axis in declared(default.family).axes:
            yield from ((Case(default.family, axis.name, value), axis) for value in values(axis))


def declared(name: str) -> Architecture:
    return declarations().architectures.get(name)
