"""Every axis of every registered family changes the network, and the no-op check of a sweep notices it.

Every choice is compared with the default; of any other axis at least one value must differ from the default: in the
graph, in the loss, or in the values. Some axes act only at a certain value of another axis, which is searched for, one
axis at a time. Families declare the small network that the search begins with, and examples of axes that are words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from families import CONTRACTS, Case, values

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

NOT_HERE = {"pretrained": "needs a file of weights; tests/architectures/layers/test_pretrained.py loads one"}
FEW = 8
"""The most values of an integer axis that are all tried."""
Items = tuple[tuple[str, Any], ...]


def axes_of_all_families() -> list[tuple[Architecture, Axis]]:
    return [(entry, axis) for entry in declarations().architectures for axis in entry.axes if axis.name not in NOT_HERE]


def cases() -> Iterator[Case]:
    """Every choice but the default, and every other axis once, without a value."""
    for entry, axis in axes_of_all_families():
        listed = [v for v in values(axis) if v != axis.default] if axis.kind in ("choice", "bool") else [None]
        yield from (Case(entry.name, axis.name, value) for value in listed)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: f"{case.family}({case.axis}={text_of(case.value)})")
def test_every_choice_and_every_axis_makes_another_network(case: Case) -> None:
    (axis,) = (a for a in case.entry.axes if a.name == case.axis)
    tried = [case.value] if axis.kind in ("choice", "bool") else list(other_values(axis))
    contexts = (dict(case.entry.small) | context for context in contexts_of(case.entry, axis))
    acting = (value for context in contexts for value in tried if acts(case.entry, context, axis, value))
    assert next(acting, None) is not None, f"no value of {case.family}'s '{axis.name}' that was tried has an effect"


def test_an_axis_whose_values_are_words_offers_examples() -> None:
    silent = [
        f"{entry.name}.{axis.name}"
        for entry, axis in axes_of_all_families()
        if axis.kind == "str" and not axis.examples
    ]
    assert silent == [], "write Annotated[str, Examples(...)]"


def other_values(axis: Axis) -> Iterator[Any]:
    """Valid values other than the default: all of a small range, numbers near the default, other lists, the examples."""
    default = axis.default
    if axis.kind == "list":
        candidates: list[Any] = [default[:-1], (2,), (*default, *default[-1:]), tuple(2 * n for n in default)]
    elif axis.kind in ("int", "float"):
        candidates = [*small_range(axis), default + 1, default - 1, 2 * default, default / 2, default + 0.1]
    else:
        candidates = []
    for value in (*candidates, *axis.examples):
        try:
            if axis.parse(value) != default:
                yield axis.parse(value)
        except RegistryError:
            continue


def small_range(axis: Axis) -> range:
    """All values of an integer axis that has few."""
    if axis.kind != "int" or axis.bounds is None or axis.bounds.high - axis.bounds.low >= FEW:
        return range(0)
    return range(int(axis.bounds.low), int(axis.bounds.high) + 1)


def contexts_of(entry: Architecture, axis: Axis) -> Iterator[dict[str, Any]]:
    """Changes of the small network: none, one axis back at its default, one other axis at each of its values."""
    yield {}
    rest = [other for other in entry.axes if other.name != axis.name and other.name not in NOT_HERE]
    yield from ({other.name: other.default} for other in rest if other.name in entry.small)
    for other in rest:
        listed = values(other) if other.kind in ("choice", "bool") else other_values(other)
        yield from ({other.name: value} for value in listed if value != other.default)


def acts(entry: Architecture, context: Mapping[str, Any], axis: Axis, value: Any) -> bool:
    """Whether the no-op check tells the network with `value` from the one with the axis's default."""
    plain = {k: v for k, v in context.items() if k != axis.name}
    pair = [tuple(sorted(axes.items())) for axes in (plain, plain | {axis.name: value})]
    variants = {Variant(entry.name, items, ()): items for items in pair}
    signatures = {variant: graph_and_loss(entry.name, items) for variant, items in variants.items()}
    if None in signatures.values():
        return False
    if not alike({variant: Signature("", *signature) for variant, signature in signatures.items() if signature}):
        return True
    with_values = {
        variant: Signature("", *signatures[variant], values=weights_and_output(entry.name, items))  # type: ignore[misc]
        for variant, items in variants.items()
    }
    return not alike(with_values)


@cache
def graph_and_loss(family: str, items: Items) -> tuple[str, str] | None:
    """(graphs, loss) of a variant; None where the family refuses these values."""
    subject = subject_of(family, items)
    try:
        model = subject.structure
    except RegistryError:
        return None
    tape = record(model, (1, *subject.shape))
    return graphs(model, tape, subject.shape), objective(model)


@cache
def weights_and_output(family: str, items: Items) -> str:
    return values_of(subject_of(family, items))


def subject_of(family: str, items: Items) -> Subject:
    entry, axes = Case(family).entry, dict(items)
    every = {axis.name: axis.default for axis in entry.axes} | axes
    size = CONTRACTS[entry.task].whole_size(every)
    return Subject(lambda: entry.build(**axes), (every.get("channels", 3), *size))
