"""What every registered family keeps, whatever its paper: from its defaults and from every value of its axes.

Families are found, not listed: a new file is held to this without an edit here. What a task's networks take and
give stands in CONTRACTS. Nets are made small by those of their axes that make them so (SMALL); what costs no
arithmetic is asked of the whole nets, on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.metrics.receptive_field import receptive_field
from bench.registry import Architecture, Axis, RegistryError, text_of
from bench.registry.catalogue import declarations, live
from bench.structure.costs import costs
from bench.structure.tape import record
from bench.tasks.generation import Generation
from bench.tasks.pose import Pose, out_of
from bench.tasks.segmentation import Segmentation, scores_of

SMALL = {
    "width": 0.125,
    "fc_channels": 128,
    "layers": 3,
    "size": 16,
    "classes": 3,
    "joints": 4,
    "stacks": 2,
    "padding": "same",
}
"""Values that make a net small, of the axes that have them."""
SIZES = ((64, 65), (127, 70), (120, 160), (224, 224), (64, 64), (65, 99))
NO_SIZE = (
    "global",
    "the network takes no larger input",
    "the output does not grow with the input",
    "the output or the input has no spatial axes",
)
"""Reasons why a receptive field has no size; a net that takes images of one size only says so itself."""
Axes = Mapping[str, Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class Contract:
    """What networks of a task take and give, in a batch of two, by their axes.

    `sizes`: heights and widths that they take; one training step, evaluation and structure are asked at
    `train_size`, `eval_size` and `whole_size`. `fits` says whether an answer of this shape is right.
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
    """Joints anywhere in the image, all but one annotated; the first two are each other's mirror image."""
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
    """Whether an answer is coordinates of all joints, or their maps at a stride of 1, 2, 4, .. or 64."""
    joints = axes["joints"]
    strides = [2**power for power in range(7)]
    maps = [(2, joints, -(-size[0] // stride), -(-size[1] // stride)) for stride in strides]
    return shape in [(2, joints, 2), *maps]


def own_size(axes: Axes) -> Size:
    """Generative networks have an axis `size`, of square images: they draw such, and most take no other."""
    return axes["size"], axes["size"]


def image_of_levels(size: Size, axes: Axes) -> Tensor:
    """Levels 0 to levels - 1, uint8 (2, C, H, W): the same at each call."""
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
    """A family with its defaults, or with one `axis` at a `value` beside them."""

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
        """(the net as it is, on the meta device; its axes)."""
        axes = self.entry.resolve(legal(self))
        with torch.device("meta"):
            return self.entry.build(**axes).eval(), axes

    def small(self, seed: int = 0) -> tuple[nn.Module, Axes]:
        """(a net that trains within the blink of an eye, its axes)."""
        axes = self.entry.resolve(smallest(self.entry) | legal(self))
        torch.manual_seed(seed)
        return self.entry.build(**axes), axes


@cache
def family(name: str) -> Architecture:
    return live(declarations().architectures.get(name))


def smallest(entry: Architecture) -> dict[str, Any]:
    """Those of SMALL that the family has, as far as it has them."""
    return {axis.name: SMALL[axis.name] for axis in entry.axes if axis.name in SMALL and takes(axis)}


def takes(axis: Axis) -> bool:
    try:
        axis.parse(SMALL[axis.name])
    except RegistryError:
        return False
    return True


def values(axis: Axis) -> tuple[Any, ...]:
    """The values of an axis that can be listed: its choices, both booleans, the ends of its bounds, none."""
    listed = axis.choices or ((False, True) if axis.kind == "bool" else ())
    if axis.bounds and axis.kind in ("int", "float"):
        listed = tuple(axis.parse({"int": int, "float": float}[axis.kind](end)) for end in ends(axis))
    return (*listed, None) if axis.optional else listed


def ends(axis: Axis) -> Iterator[float]:
    assert axis.bounds
    yield from (end for end in (axis.bounds.low, axis.bounds.high) if abs(end) != float("inf"))


@cache
def legal(case: Case) -> dict[str, Any]:
    """The value with as little else as makes it legal: one other axis at most. Fails where nothing does."""
    given = {case.axis: case.value} if case.axis else {}
    others = [{a.name: v} for a in case.entry.axes for v in values(a) if given and a.name != case.axis]
    for extra in ({}, *others):
        try:
            with torch.device("meta"):
                case.entry.build(**smallest(case.entry) | extra | given)
        except RegistryError:
            continue
        return extra | given
    raise AssertionError(f"no variant is {case}")


def defaults() -> list[Case]:
    return [Case(entry.name) for entry in declarations().architectures if entry.task in CONTRACTS]


def neighbours(chosen: Callable[[Axis], bool] = lambda axis: True) -> list[Case]:
    """The defaults, and every value of every axis beside them."""
    entries = [declarations().architectures.get(case.family) for case in defaults()]
    axes = [(entry, axis) for entry in entries for axis in entry.axes if chosen(axis)]
    return [*defaults(), *(Case(e.name, axis.name, v) for e, axis in axes for v in values(axis) if v != axis.default)]


def layouts() -> list[Case]:
    """As `neighbours`, without the numbers: they only make a net larger or smaller."""
    return neighbours(lambda axis: axis.kind in ("choice", "bool"))


def task_of(case: Case) -> str:
    return declarations().architectures.get(case.family).task


def test_the_families_of_every_task_are_held_to_a_contract() -> None:
    assert {entry.task for entry in declarations().architectures} <= set(CONTRACTS)
    assert len(defaults()) >= 5


@pytest.mark.parametrize("case", neighbours(), ids=str)
def test_the_answer_has_the_size_of_the_input(case: Case) -> None:
    (net, axes), contract = case.whole(), case.contract
    for size in contract.sizes(axes)[-2:] if case.axis else contract.sizes(axes):
        answer = contract.answer(net(contract.inputs(size, axes).to("meta")))
        assert contract.fits(tuple(answer.shape), size, axes), (answer.shape, size)


@pytest.mark.parametrize("case", layouts(), ids=str)
def test_a_training_step_reaches_every_parameter(case: Case) -> None:
    (net, axes), contract = case.small(), case.contract
    size = contract.train_size(axes)
    outputs = net.train()(contract.inputs(size, axes))
    loss = (getattr(net, "loss", None) or contract.loss)(outputs, contract.targets(size, axes))
    loss.backward()
    assert loss.isfinite()
    idle = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize("case", layouts(), ids=str)
def test_evaluation_is_deterministic_and_survives_saving(case: Case, tmp_path: Any) -> None:
    (first, axes), (second, _), contract = case.small(), case.small(seed=1), case.contract
    first.eval(), second.eval()
    x = contract.inputs(contract.eval_size(axes), axes)
    with torch.no_grad():
        expected = contract.answer(first(x))
        assert torch.equal(contract.answer(first(x)), expected)
        assert not torch.equal(contract.answer(second(x)), expected)
        torch.save(first.state_dict(), tmp_path / "state.pt")
        second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert torch.equal(contract.answer(second(x)), expected)


@pytest.mark.parametrize("case", layouts(), ids=str)
def test_every_operator_is_counted(case: Case) -> None:
    net, axes = case.whole()
    counted = costs(record(net, (1, *case.contract.inputs(case.contract.whole_size(axes), axes).shape[1:])))
    assert counted.uncounted == ()
    assert counted.coverage == 1.0
    assert counted.macs > 0


@pytest.mark.parametrize("case", layouts(), ids=str)
def test_the_receptive_field_is_known_exactly(case: Case) -> None:
    net, axes = case.small()
    size = case.contract.train_size(axes)
    field = receptive_field(net.eval(), case.contract.inputs(size, axes).shape[1:])
    assert field.exact
    assert field.mask.any()
    assert field.size is not None or field.unbounded.reason.startswith(NO_SIZE)


@pytest.mark.parametrize("case", [case for case in layouts() if task_of(case) == "generation"], ids=str)
def test_samples_are_images_of_the_net_s_levels(case: Case) -> None:
    """From a generator alone: the same each time, others from another seed, torch's own generator untouched."""
    net, axes = case.small()
    net.eval()
    if not hasattr(net, "sample"):
        pytest.skip("it gives images a probability, and draws none")
    before = torch.get_rng_state()
    with torch.no_grad():
        first, again = (net.sample(3, generator()) for _ in range(2))
        other = net.sample(3, torch.Generator().manual_seed(1))
    assert first.dtype == torch.uint8
    assert tuple(first.shape) == (3, axes["channels"], *own_size(axes))
    assert int(first.max()) < axes["levels"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
