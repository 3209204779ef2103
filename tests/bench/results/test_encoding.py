"""What can be stored: the same rules for the worker and the store; what does not fit fails one measurement, by name."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.results.encoding import (
    DETAIL_LIMIT,
    ERROR_LIMIT,
    TRACEBACK_LIMIT,
    EncodingError,
    error_text,
    json_text,
    plain,
    samples_of,
    storable,
    storable_evaluation,
    traceback_text,
)
from bench.results.frame import load
from bench.results.measurement import Evaluation, Measurement
from bench.results.store import Store
from bench.spec.variant import Variant
from bench.spec.workload import Workload

WORK = Workload("segmentation", "", (), (3, 8, 8), 1)


def measurement(**changes) -> Measurement:
    shared = {
        "key": "k",
        "variant": Variant("fcn", (), ()),
        "workload": WORK,
        "metric": "m",
        "unit": "",
        "better": None,
    }
    made = Measurement(**shared, samples=(1,), exact=True, seed=None, duration=1.0, environment={"os": "x"})
    return dataclasses.replace(made, **changes)


def circular() -> dict:
    value: dict = {}
    value["again"] = value
    return value


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@dataclasses.dataclass
class Point:
    x: int = 1


DETAILS = {
    "int key": ({0: 1, "all": 2}, "key 0 is an int; keys must be text"),
    "None key": ({None: 1}, "key None is a NoneType; keys must be text"),
    "tuple key": ({"by": {(1, 2): 3}}, "key (1, 2) of by is a tuple; keys must be text"),
    "surrogate": ({"name": "a\ud800"}, "name holds '\\ud800', half of a surrogate pair"),
    "surrogate key": ({"\udc00": 1}, "holds '\\udc00', half of a surrogate pair"),
    "nan": ({"coverage": math.nan}, "coverage is nan, which is not a finite number"),
    "inf": ({"by": [1.0, -math.inf]}, "by.1 is -inf, which is not a finite number"),
    "numpy nan": ({"coverage": np.float32("nan")}, "coverage is nan"),
    "large": ({"text": "x" * 20_000_000}, "it has 20,000,011 characters as JSON, of at most 1,000,000"),
    "array": ({"iou": np.ones(2)}, "iou is of type ndarray; write .tolist()"),
    "tensor": ({"iou": torch.ones(2)}, "iou is of type Tensor; write .tolist()"),
    "bytes": ({"raw": b"x"}, "raw is of type bytes; write text"),
    "set": ({"classes": {1}}, "classes is of type set; write a list"),
    "date": ({"day": datetime.date(2020, 1, 1)}, "day is of type date; write .isoformat()"),
    "path": ({"file": Path("a")}, "Path; write str(...)"),
    "dataclass": ({"point": Point()}, "point is of type Point; write numbers, text, lists and mappings"),
    "complex": ({"root": 1j}, "root is of type complex; write its parts"),
    "generator": ({"rows": (i for i in ())}, "rows is of type generator; write list(...)"),
    "circular": (circular(), "is nested more than 50 deep, or contains itself"),
    "deep": ({"deep": nested(10_000)}, "is nested more than 50 deep, or contains itself"),
    "huge": ({"count": 2**63}, "count is an integer of more than 64 bits; make it a float"),
    "unprintable": ({"count": 10**5000}, "count is an integer of more than 64 bits"),
}


@pytest.mark.parametrize("name", DETAILS)
def test_a_detail_that_cannot_be_stored_fails_its_measurement_and_names_it(name):
    detail, text = DETAILS[name]
    kept = storable(measurement(detail=detail, traceback="where"))
    assert kept.error.startswith("failed: the detail of m cannot be stored: ")
    assert text in kept.error
    assert len(kept.error) <= ERROR_LIMIT
    assert (kept.samples, kept.detail, kept.environment) == ((), {}, {"os": "x"})
    assert storable(kept) == kept


KEPT = {
    "plain": {"a": [1, -0.0, 5e-324, True, None, "ü"], "b": {"c": {}}},
    "largest int": {"n": 2**63 - 1},
}


@pytest.mark.parametrize("detail", KEPT.values(), ids=KEPT)
def test_what_json_has_is_kept_to_the_bit(detail):
    assert json.loads(json_text(detail)) == detail
    assert json_text(json.loads(json_text(detail))) == json_text(detail)


def test_numbers_of_numpy_and_torch_become_numbers_and_tuples_become_lists():
    detail = {
        "f": np.float32(0.1),
        "i": np.int64(3),
        "b": np.bool_(True),
        "t": torch.tensor(2.5),
        "u": (1, np.array(2)),
    }
    assert plain(detail, "x") == {"f": float(np.float32(0.1)), "i": 3, "b": True, "t": 2.5, "u": [1, 2]}
    assert [type(v) for v in plain(detail, "x").values()] == [float, int, bool, float, list]


SAMPLES = {
    "text": ("many", "the metric gave 'many' of type str; return a number, a list of numbers or a Reading"),
    "text in a list": (["1", "2"], "the metric gave '1' of type str"),
    "bool": (True, "the metric gave True of type bool"),
    "numpy bool": ([np.bool_(False)], "of type bool"),
    "complex": (1j, "of type complex"),
    "dict": ({"miou": 1}, "of type dict"),
    "generator": ((i for i in (1, 2)), "of type generator"),
    "array": (np.ones(3), "of type ndarray; return .tolist()"),
    "tensor": (torch.ones(3), "of type Tensor; return .tolist()"),
    "rows": ([[1, 2], [3]], "the metric gave [1, 2] of type list"),
    "none in a list": ([1, None], "the metric gave None of type NoneType"),
    "infinite": ([1.0, math.inf], "the metric gave a value that is inf, which is not a finite number"),
    "huge": (10**400, "is an integer of more than 64 bits; make it a float"),
    "many": ([1] * 1_000_000, "the metric gave 1,000,000 samples, of at most 100,000"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_no_sample_is_refused(name):
    value, text = SAMPLES[name]
    with pytest.raises(EncodingError) as error:
        samples_of(value)
    assert text in str(error.value)


def test_what_is_a_sample_is_kept():
    assert samples_of(None) == samples_of([]) == ()
    assert samples_of([np.float32(0.5), np.array(2), torch.tensor(3.5), 1]) == (0.5, 2, 3.5, 1)
    assert math.copysign(1, samples_of(-0.0)[0]) == -1
    assert samples_of(5e-324) == (5e-324,)


def test_errors_and_tracebacks_are_shortened_and_never_refused():
    assert error_text(None) is None
    assert error_text("failed: a\nb") == "failed: a"
    assert error_text("failed: \x00\x1b[31m\ud800") == "failed: \\x00\\x1b[31m\\ud800"
    assert len(error_text("x" * 20_000_000)) == ERROR_LIMIT
    place = error_text("x" * 1_500 + " (src/my_net.py:17)")
    assert (len(place), place[-27:]) == (ERROR_LIMIT, "xxxx ... (src/my_net.py:17)")
    assert error_text("") == "failed: without a message"
    text = traceback_text("first\n" + "x" * 100_000 + "\nlast\x00")
    assert text.startswith("first\n")
    assert text.endswith("\nlast\\x00")
    assert "characters left out" in text
    assert len(text) <= TRACEBACK_LIMIT


def test_the_store_writes_by_the_same_rules_and_a_table_can_be_read(tmp_path):
    odd = [measurement(key=name, detail=detail) for name, (detail, _) in DETAILS.items()]
    odd += [measurement(key="error", samples=(), error="failed: " + "y" * 20_000_000 + "\ud800")]
    odd += [measurement(key="environment", environment={1: 2}), measurement(key="samples", samples=(math.nan,))]
    odd += [measurement(key="contributions", contributions=(1.0, math.nan))]
    with Store(tmp_path / "s.sqlite") as store:
        assert store.add([(m, "static", {}) for m in odd]) == len(odd)
        records = {record.measurement.key: record.measurement for record in store.records()}
    assert all(m.error for m in records.values())
    assert records["contributions"].error.startswith("failed: the contributions to m cannot be stored: 1 is nan")
    assert records["samples"].error == "failed: the metric gave a value that is nan, which is not a finite number"
    assert "the environment of m cannot be stored: key 1 is an int" in records["environment"].error
    assert {m.key: m for m in map(storable, odd)} == {k: dataclasses.replace(m) for k, m in records.items()}
    assert len(load(tmp_path / "s.sqlite")) == len(odd)


EVALUATIONS = {
    "object array": ({"units": {"a": np.array([None, 1])}}, "units['a'] is an array of object"),
    "list": ({"units": {"a": [1, 2]}}, "units['a'] is of type list; make it a numpy array"),
    "tensor": ({"units": {"a": torch.ones(2)}}, "units['a'] is of type Tensor; make it a numpy array"),
    "dates": (
        {"summaries": {"a": np.array(["2020-01-01"], "datetime64[D]")}},
        "summaries['a'] is an array of datetime64",
    ),
    "curves": ({"curves": {"step": np.ones(3), "loss": np.ones(2)}}, "different lengths (step 3, loss 2)"),
    "facts": ({"facts": {"optimum": {"miou": math.nan}}}, "optimum.miou is nan"),
    "fact keys": ({"facts": {"by class": {1: 2}}}, "key 1 of by class is an int; keys must be text"),
    "names": ({"names": ("a", 3.5j)}, "the names of the evaluation of pose cannot be stored: 1 is of type complex"),
    "large facts": ({"facts": {"x": "y" * 5_000_000}}, "of at most 4,000,000"),
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_an_evaluation_that_cannot_be_stored_says_what_of_it(name):
    changes, text = EVALUATIONS[name]
    with pytest.raises(EncodingError) as error:
        storable_evaluation(Evaluation(**{"task": "pose", "units": {}, **changes}))
    assert "the evaluation of pose cannot be stored" in str(error.value)
    assert text in str(error.value)


def test_the_limit_of_a_detail_is_inclusive():
    room = DETAIL_LIMIT - len('{"t":""}')
    assert storable(measurement(detail={"t": "x" * room})).error is None
    assert "of at most 1,000,000" in storable(measurement(detail={"t": "x" * (room + 1)})).error
