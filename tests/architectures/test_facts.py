"""Published numbers of all families, measured in this process on the meta device; `bench verify` does it for users.

Receptive fields and blind spots stand in the families' own tests: masks are not known on that device.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.hardware.subject import Subject
from bench.registry import Fact
from bench.registry.catalogue import declarations, live
from bench.sweep.verify import SHAPE, judged


def published() -> list[Any]:
    found = [(entry, fact) for entry in declarations().architectures for fact in entry.facts]
    return [
        pytest.param(
            entry.name, fact, id=" ".join(map(str, (entry.name, *fact.when.values(), fact.quantity, fact.value)))
        )
        for entry, fact in found
        if fact.quantity.partition("/")[0] not in ("receptive_field", "blind_spot")
    ]


def measured(family: str, fact: Fact) -> Any:
    entry = live(declarations().architectures.get(family))
    name, _, part = ("conventions", "", fact.convention) if fact.convention else fact.quantity.partition("/")
    metric = live(declarations().metrics.get(name))
    with torch.device("meta"):
        net = entry.build(**fact.when)
    reading = metric.call(Subject(lambda: net, fact.shape or SHAPE, device="meta"))
    return reading.detail[part] if part else reading.value


@pytest.mark.parametrize(("family", "fact"), published())
def test_a_published_number_is_reproduced_or_disputed_as_declared(family: str, fact: Fact) -> None:
    status, _ = judged(fact, measured(family, fact))
    assert status == ("disputed" if fact.disputed else "reproduced")
