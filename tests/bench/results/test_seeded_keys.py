"""Requests that differ only in the seed share everything but the seed, and have the keys that they always had."""

from __future__ import annotations

import json
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from bench.results import keys
from bench.results.keys import hashed, keys_by_seed, requests
from tests.bench.crowded import ablation_in

NAMES = st.sampled_from(["architecture", "axes", "code", "recipe", "sea", "seeds", "shape", "task"])
VALUES = st.one_of(st.integers(), st.sampled_from(["", "é", '"seed":1,']), st.lists(st.integers(), max_size=2))


@given(st.dictionaries(NAMES.filter(lambda name: name != "code"), VALUES), st.lists(st.integers(0, 2**63), max_size=4))
def test_the_key_with_each_seed_is_the_hash_of_all_parts(shared, seeds):
    shared = {**shared, "code": {"metric": {"bench.m": "1a"}}}
    assert list(keys_by_seed(shared, seeds)) == [hashed({**shared, "seed": seed}) for seed in seeds]


def test_every_request_has_the_hash_of_its_parts_as_key(tmp_path):
    for request in requests(ablation_in(tmp_path, 5), {"train": "1a"}):
        assert request.key == hashed(request.parts)
        assert ("seed" in request.parts) == (request.kind == "accuracy")


def test_more_seeds_write_no_more_json(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(keys, "_written", lambda parts: written.append(1) or json.dumps(parts, default=list))
    counts = []
    for seeds in (2, 40):
        written.clear()
        ablation = ablation_in(tmp_path, 5, seeds, name=f"seeds{seeds}")
        assert len({request.key for request in requests(ablation, {})}) == 5 * (3 + 2 * seeds)
        counts.append(len(written))
    assert counts[0] == counts[1]


def test_a_request_of_one_more_seed_takes_little_memory(tmp_path):
    """Its key, that of its training, and references: no parts of its own."""
    ablation = ablation_in(tmp_path, 5, 400, metrics=("miou",))
    list(requests(ablation_in(tmp_path, 5, name="before"), {}))  # what is computed once
    tracemalloc.start()
    chosen = list(requests(ablation, {}))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(chosen) < 500
