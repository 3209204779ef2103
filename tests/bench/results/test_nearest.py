"""The nearest earlier measurement is the one with the fewest lines of `difference`, found without comparing each."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.results import nearest, store
from bench.results.keys import difference
from bench.results.nearest import History, Table
from bench.sweep.plan import plan
from tests.bench.crowded import ablation_in, add_history, measurement_of

LEAF = st.one_of(st.none(), st.booleans(), st.integers(-1, 2), st.sampled_from(["a", "b", 0.5]), st.just([1, 2]))
NAMES = st.sampled_from(["axes", "code", "seed", "x"])
PARTS = st.dictionaries(NAMES, st.one_of(LEAF, st.dictionaries(NAMES, st.one_of(LEAF, st.dictionaries(NAMES, LEAF)))))


@given(st.lists(PARTS, max_size=6), PARTS)
def test_lines_of_every_row_are_those_of_the_difference(rows, new):
    assert Table(rows).lines(new).tolist() == [len(list(difference(new, row))) for row in rows]


@given(st.lists(PARTS, min_size=1, max_size=6))
def test_a_row_comes_back_without_what_is_null(rows):
    for place, row in enumerate(rows):
        assert Table(rows).row(place) == {name: value for name, value in row.items() if value is not None}


def test_of_equally_near_ones_the_newest_is_shown(tmp_path):
    ablation = ablation_in(tmp_path, 5, metrics=("params",))
    with store.Store(tmp_path / "s.sqlite") as stored:
        request = plan(ablation, stored).requests[0]
        assert History(stored).differences(request) == ["never measured"]
        for key, shape in (("far", [1, 1, 1]), ("old", [3, 8, 8]), ("new", [3, 9, 9])):
            parts = {**request.parts, "shape": shape, **({"metric": "macs"} if key == "far" else {})}
            stored.add([(measurement_of(request, key), "static", parts)])
        now = json.dumps(request.parts["shape"])
        assert History(stored).differences(request) == [f"shape: [3, 9, 9] -> {now}"]


@pytest.mark.parametrize("rows", [200, 400])
def test_every_earlier_measurement_is_read_once(tmp_path, rows, monkeypatch):
    """However many measurements are due, and each is compared with different values only, not with every row."""
    read, compared = [], []
    monkeypatch.setattr(store, "_parsed", lambda text: read.append(text) or json.loads(text))
    monkeypatch.setattr(nearest, "difference", lambda *pair: compared.append(pair) or [])
    ablation = ablation_in(tmp_path, 20)
    with store.Store(tmp_path / "s.sqlite") as stored:
        add_history(stored, ablation, rows)
        due = plan(ablation, stored).due
        history = History(stored)
        for request in due:
            history.differences(request)
    assert (len(read), len(compared)) == (rows, len(due))
