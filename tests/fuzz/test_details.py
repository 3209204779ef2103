"""What metrics give: stored and read back as it was, or a failure that names the metric; never the end of a run."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from damage import odd_texts
from fuzzing import alarm, bounded
from hypothesis import given
from hypothesis import strategies as st

from bench.results.encoding import ERROR_LIMIT, storable
from bench.results.frame import frame_of
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.variant import Variant
from bench.spec.workload import Workload

ONE = Measurement(
    key="k", variant=Variant("net", (("a", 1),)), workload=Workload("", "", (), (), 1), metric="m", unit="", better=None,
    samples=(1.0,), exact=False, seed=0, duration=1.0, environment={},
)  # fmt: skip
MAKERS: tuple[Callable[[Any], Any], ...] = (
    lambda x: np.float32(1), lambda x: np.zeros(3), lambda x: torch.tensor(2.0), lambda x: {1, 2}, lambda x: b"raw",
    lambda x: Path("x"), lambda x: object(), lambda x: (y for y in [x]), lambda x: 1j, lambda x: 2**80, lambda x: {0: x},
    lambda x: {None: x}, lambda x: "\ud800", lambda x: "x" * 3_000_000, lambda x: {"deep": _nested(x, 2000)},
    lambda x: math.nan, lambda x: -math.inf, lambda x: lambda: x,
)  # fmt: skip


def _nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def values() -> st.SearchStrategy[Any]:
    """What a careless metric may put into a detail."""
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), odd_texts(), st.dates())
    odd = st.one_of(leaves, st.builds(lambda make, leaf: make(leaf), st.sampled_from(MAKERS), leaves))
    keys = st.one_of(odd_texts(), st.integers(), st.none())
    return st.recursive(odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


def stored(path: Path, measurement: Measurement) -> Measurement:
    """Written to a new store and read again."""
    path.unlink(missing_ok=True)
    with alarm(), Store(path) as store:
        store.add([(measurement, "accuracy", {})])
        (record,) = store.records()
    frame_of([record]).to_csv()
    return record.measurement


@bounded
@given(detail=values(), error=st.none() | odd_texts(), samples=st.lists(values(), max_size=3))
def test_what_a_metric_gives_is_stored_or_fails_by_name(
    empty: Path, detail: Any, error: str | None, samples: list[Any]
) -> None:
    given_one = replace(ONE, detail={"given": detail}, error=error, samples=tuple(samples))
    encoded = storable(given_one)
    read = stored(empty / "store.sqlite", given_one)
    assert read == replace(encoded, detail=read.detail), "worker and store disagree"
    assert repr(read.detail) == repr(encoded.detail)
    if encoded.error is not None and error is None:
        assert encoded.samples == ()
        assert "m" in encoded.error
    assert encoded.error is None or 0 < len(encoded.error) <= ERROR_LIMIT


@bounded
@given(seed=st.integers(0, 2**31))
def test_finite_samples_come_back_exactly(empty: Path, seed: int) -> None:
    numbers = [random.Random(seed).uniform(-1, 1) * 10.0**power for power in range(-320, 300, 31)]
    assert stored(empty / "store.sqlite", replace(ONE, samples=tuple(numbers))).samples == tuple(numbers)
