"""No axis of a registered family does nothing, and the no-op check takes none of them for one.

Every choice is compared with the default, and of axes of other sorts at least one value has to differ from it: in
its graph, its loss, or its values. An axis may act beside a certain value of another one only; which that is, is
searched for, one axis at a time. BESIDE states what the search does not come to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from test_contract import CONTRACTS, Case, smallest, values

from bench.hardware.subject import Subject
from bench.registry import Architecture, Axis, RegistryError, text_of
from bench.registry.catalogue import declarations
from bench.results.signature import Signature
from bench.spec.variant import Variant
from bench.structure.objective import objective
from bench.structure.tape import record
from bench.sweep.noop import alike
from bench.sweep.signature import graphs
from bench.sweep.signature import values as values_of

NAMED: Mapping[str, tuple[Any, ...]] = {
    "backbone": ("vgg11", "resnet50", "alexnet", "timm:resnet18", "small"),
    "parents": ((-1, 0, 1, 2),),
    "torso": ((0, 1),),
}
"""Values of axes that are words, or lists of numbers that must fit each other, and so cannot be found."""
BESIDE: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("deeplabv3", "output_stride"): {"blocks": 7},
    ("iterative_error_feedback", "feedback"): {"steps": 1},
    ("unet", "border"): {"padding": "valid", "depth": 1},
    ("vae", "levels"): {"likelihood": "logistic"},
}
"""(family, axis) -> the values of two or more other axes beside which the axis acts."""
NOT_HERE = {"pretrained": "needs a file of weights; tests/architectures/test_pretrained.py loads one"}
Items = tuple[tuple[str, Any], ...]


def cases() -> list[Case]:
    """Every choice but the default, and every other axis once, with no value yet."""
    found = []
    for entry in declarations().architectures:
        for axis in entry.axes:
            listed = [v for v in values(axis) if v != axis.default] if axis.kind in ("choice", "bool") else [None]
            found += [Case(entry.name, axis.name, v) for v in listed if axis.name not in NOT_HERE]
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.family}({case.axis}={text_of(case.value)})")
def test_every_choice_and_every_axis_makes_another_network(case: Case) -> None:
    (axis,) = (a for a in case.entry.axes if a.name == case.axis)
    asked = [case.value] if axis.kind in ("choice", "bool") else list(others(axis))
    base = smallest(case.entry) | BESIDE.get((case.family, case.axis), {})
    acting = (v for beside in contexts(case.entry, axis) for v in asked if acts(case.entry, base | beside, axis, v))
    assert next(acting, None) is not None, f"no value of {case.family}'s '{axis.name}' that was tried does anything"


def others(axis: Axis) -> Iterator[Any]:
    """Values near the default of a number, shorter and longer lists, names; those that the axis takes."""
    default = axis.default
    if axis.kind == "list":
        near: list[Any] = [default[:-1], (2,), (*default, *default[-1:]), tuple(2 * n for n in default)]
    elif axis.kind in ("int", "float"):
        near = [default + 1, default - 1, 2 * default, default / 2, default + 0.1]
    else:
        near = []
    near += NAMED.get(axis.name, ())
    for value in near:
        try:
            if axis.parse(value) != default:
                yield axis.parse(value)
        except RegistryError:
            continue


def contexts(entry: Architecture, axis: Axis) -> Iterator[dict[str, Any]]:
    """A small net, one that is not small in one respect, and each value of each other axis beside it."""
    yield {}
    rest = [other for other in entry.axes if other.name != axis.name and other.name not in NOT_HERE]
    yield from ({other.name: other.default} for other in rest if other.name in smallest(entry))
    for other in rest:
        listed = values(other) if other.kind in ("choice", "bool") else others(other)
        yield from ({other.name: v} for v in listed if v != other.default)


def acts(entry: Architecture, context: Mapping[str, Any], axis: Axis, value: Any) -> bool:
    """Whether `value` makes another network than the axis's default, in the eyes of the no-op check."""
    plain = {k: v for k, v in context.items() if k != axis.name}
    pair = [tuple(sorted(axes.items())) for axes in (plain, plain | {axis.name: value})]
    variants = {Variant(entry.name, items, ()): items for items in pair}
    looked = {variant: seen(entry.name, items) for variant, items in variants.items()}
    if None in looked.values():
        return False
    twins = alike({v: Signature("", *found) for v, found in looked.items() if found})
    return not twins or not alike(
        {v: Signature("", *looked[v], values=read(entry.name, items)) for v, items in variants.items()}  # type: ignore[misc]
    )


@cache
def seen(family: str, items: Items) -> tuple[str, str] | None:
    """(graphs, loss) of a variant; None where there is no such one."""
    subject = subject_of(family, items)
    try:
        model = subject.structure
    except RegistryError:
        return None
    tape = record(model, (1, *subject.shape))
    return graphs(model, tape, subject.shape), objective(model)


@cache
def read(family: str, items: Items) -> str:
    return values_of(subject_of(family, items))


def subject_of(family: str, items: Items) -> Subject:
    entry, axes = Case(family).entry, dict(items)
    full = {axis.name: axis.default for axis in entry.axes} | axes
    size = CONTRACTS[entry.task].whole_size(full)
    return Subject(lambda: entry.build(**axes), (full.get("channels", 3), *size))
