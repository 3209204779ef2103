"""Published numbers of all families, measured in this process on the meta device; `bench verify` does it for users.

Receptive fields and blind spots are tested with the families: their masks cannot be computed on the meta device.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from families import family

from bench.hardware.subject import Subject
from bench.registry import Fact
from bench.registry.catalogue import declarations, live
from bench.sweep.verify import SHAPE, judged


def published() -> list[Any]:
    return [
        pytest.param(
            entry.name, fact, id=" ".join(map(str, (entry.name, *fact.when.values(), fact.quantity, fact.value)))
        )
        for entry in declarations().architectures
        for fact in entry.facts
        if fact.quantity.partition("/")[0] not in ("receptive_field", "blind_spot")
    ]


@cache
def subject_of(name: str, when: tuple[tuple[str, Any], ...], shape: tuple[int, ...]) -> Subject:
    """One recording for all facts of a network and an input."""
    with torch.device("meta"):
        network = family(name).build(**dict(when))
    return Subject(lambda: network, shape, device="meta")


def measured(name: str, fact: Fact) -> Any:
    quantity, _, part = ("conventions", "", fact.convention) if fact.convention else fact.quantity.partition("/")
    metric = live(declarations().metrics.get(quantity))
    reading = metric.call(subject_of(name, tuple(fact.when.items()), fact.shape or SHAPE))
    return reading.detail[part] if part else reading.value


@pytest.mark.parametrize(("name", "fact"), published())
def test_a_published_number_is_reproduced_or_disputed_as_declared(name: str, fact: Fact) -> None:
    status, _ = judged(fact, measured(name, fact))
    assert status == ("disputed" if fact.disputed else "reproduced")
