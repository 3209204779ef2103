import math
import pickle
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from bench.hardware.process import is_running, this_process
from bench.results.frame import load
from bench.results.location import Server
from bench.results.measurement import Evaluation, Measurement, Record
from bench.results.store import Store, StoreError
from bench.spec.variant import Variant
from bench.spec.workload import Workload

VARIANT = Variant("net", (("a", 1), ("rates", (1, 2)), ("device", "x")), ("a",))
WORK = Workload("segmentation", "context", (("distance", 14),), (3, 8, 8), 2)
ONE = Measurement("k1", VARIANT, WORK, "miou", "", "higher", (0.1 + 0.2,), False, 0, 1.5, {"device": "cpu"})


def keep(store, *measurements, replaced=False):
    return store.add([(m, "accuracy", {"metric": m.metric}) for m in measurements], replace=replaced)


def test_what_was_kept_comes_back_exactly(store):
    keep(store, ONE, replace(ONE, key="k2", samples=(), error="oom: x", detail={"a": [1]}))
    assert [record.measurement for record in store.records()] == [
        ONE,
        replace(ONE, key="k2", samples=(), error="oom: x", detail={"a": [1]}),
    ]
    assert store.records()[0].measurement.variant.name == "net(a=1)"


def test_a_key_has_one_live_row_and_a_history(store):
    assert keep(store, ONE) == 1
    assert keep(store, replace(ONE, samples=(0.9,))) == 0
    assert store.records()[0].measurement.samples == ONE.samples
    assert keep(store, replace(ONE, samples=(0.9,)), replaced=True) == 1
    assert [record.measurement.samples for record in store.records()] == [(0.9,)]
    assert len(list(store.parts("net", "miou"))) == 2


def test_records_of_another_store_come_with_their_dates_and_replace_nothing(store, tmp_path):
    keep(store, ONE)
    conditions = {"shape": [3, 8, 8]}
    other = Record(
        replace(ONE, key="k2", contributions=(1 / 3, 2.0)), "accuracy", "2020-01-01T00:00:00+00:00", conditions
    )
    changed = Record(replace(ONE, samples=(0.9,)), "accuracy", "2020-01-01T00:00:00+00:00", conditions)
    assert store.add_records([other, changed]) == 1
    assert store.records(["k2"]) == [other]
    assert store.records(["k1"])[0].measurement == ONE


def test_a_missing_store_reads_as_empty_and_is_not_made(tmp_path):
    path = tmp_path / "deep" / "s.sqlite"
    with Store(path) as store:
        assert store.measured(["x"]) == {}
        assert store.records() == []
        assert store.evaluation("t") is None
    assert not path.parent.exists()


def test_a_file_that_is_no_store_is_refused(tmp_path):
    path = tmp_path / "s.sqlite"
    path.write_text("this is no database, not even a small one" * 100)
    with Store(path) as store, pytest.raises(StoreError, match="not a results store"):
        store.measured(["x"])
    other = tmp_path / "later.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with (
        Store(other) as store,
        pytest.raises(StoreError, match=r"layout 99, not 3\); update fovbench, or name another"),
    ):
        store.measured(["x"])


def test_a_store_of_layout_2_is_brought_up_and_keeps_its_rows(store_file):
    keep(store_file, ONE)
    with sqlite3.connect(store_file.path) as connection:
        for column in ("traceback", "files", "checksum"):
            connection.execute(f"ALTER TABLE measurement DROP COLUMN {column}")
        connection.execute("PRAGMA user_version=2")
    with Store(store_file.path) as reopened:
        assert [record.measurement for record in reopened.records()] == [ONE]
        keep(reopened, replace(ONE, key="k2", traceback="Traceback: x", files={"a.pt": "12ab"}))
        assert reopened.records(["k2"])[0].measurement.files == {"a.pt": "12ab"}
    assert sqlite3.connect(store_file.path).execute("PRAGMA user_version").fetchone() == (3,)


def test_load_gives_a_tidy_frame(store):
    keep(store, replace(ONE, samples=(1.0, 2.0)), replace(ONE, key="k2", samples=(), error="timeout: 3 s"))
    frame = load(store.location)
    assert list(frame["value"])[:2] == [1.0, 2.0]
    assert math.isnan(frame["value"][2])
    assert list(frame["error"]) == [None, None, "timeout: 3 s"]
    assert list(frame["sample"]) == [0, 1, 0]
    assert list(frame["a"]) == [1, 1, 1]
    assert list(frame["axis.device"]) == ["x"] * 3
    assert list(frame["device"]) == ["cpu"] * 3
    assert len(load(store.location, ["k2"])) == 1
    assert load(store.location, []).empty


def test_evaluations_survive(store):
    evaluation = Evaluation(
        "segmentation",
        {"confusion": np.arange(8, dtype=np.uint32).reshape(2, 2, 2)},
        ("a", "b"),
        curves={"loss": np.array([0.5, 0.25])},
        facts={"mode": "fp32"},
    )
    store.add_evaluation("t", evaluation)
    back = store.evaluation("t")
    assert back is not None
    assert back.names == ("a", "b")
    assert back.facts == {"mode": "fp32"}
    np.testing.assert_array_equal(back.units["confusion"], evaluation.units["confusion"])
    assert back.units["confusion"].dtype == np.uint32


def test_claims_are_exclusive_until_their_owner_is_gone(store):
    assert store.claim(["a", "b"], "one", lambda owner: True) == {"a", "b"}
    assert store.claim(["b", "c"], "two", lambda owner: True) == {"c"}
    assert store.claim(["b"], "one", lambda owner: True) == {"b"}
    assert store.claim(["a", "b"], "two", lambda owner: False) == {"a", "b"}
    store.release("two")
    assert store.claim(["a"], "three", lambda owner: True) == {"a"}


def test_a_stored_measurement_cannot_be_claimed(store):
    store.claim(["k1"], "one", lambda owner: True)
    keep(store, ONE)
    assert store.claim(["k1"], "two", lambda owner: True) == {"k1"}


def test_arrays_of_an_evaluation_are_decompressed_when_they_are_asked_for_and_survive_a_process(store):
    store.add_evaluation("run", Evaluation("t", {"units": np.arange(3)}, ("a",), {"step": np.ones(2)}, facts={"x": 1}))
    packed = pickle.loads(pickle.dumps(store.evaluation("run")))
    assert "groups" not in vars(packed.curves.archive)
    assert (packed.task, packed.names, packed.facts) == ("t", ("a",), {"x": 1})
    assert {**packed.curves}["step"].tolist() == [1, 1]
    assert packed.units["units"].tolist() == [0, 1, 2]
    assert (len(packed.samples), [*packed.summaries]) == (0, [])


def test_text_that_is_half_of_a_surrogate_pair_in_an_old_store_is_read_as_it_was_stored(store_file):
    keep(store_file, ONE)
    with sqlite3.connect(store_file.path) as connection:
        connection.execute("UPDATE measurement SET checksum = '', detail = ?", ('{"name": "\\ud800"}',))
    assert store_file.records()[0].measurement.detail == {"name": "\ud800"}


def test_two_drivers_on_one_store_never_get_the_same_key(place):
    """Each has a connection of its own, as on two machines: neither can ask whether the process of the other runs."""
    with Store(place) as one, Store(place) as other:
        assert one.claim(["a", "b"], this_process(), lambda process: False) == {"a", "b"}
        living = isinstance(other.location, Server) or is_running(this_process())
        assert other.claim(["b", "c"], "7@7.00", lambda process: living) == {"c"}
        assert other.claims(lambda process: living) == {"a": True, "b": True, "c": living}
        assert isinstance(other.location, Server) or other.claims(lambda process: False) == dict.fromkeys("abc", False)
    with Store(place) as third:
        assert third.claim(["a", "c"], "8@8.00", lambda process: False) == {"a", "c"}, "both have ended"


def test_drivers_that_start_at_once_on_nothing_make_one_store_and_share_the_keys(place):
    """Every key is claimed by exactly one of them, and stored once."""
    keys = [f"k{number}" for number in range(40)]
    barrier = threading.Barrier(4)

    def driver(number):
        with Store(place) as store:
            barrier.wait()
            mine = set()
            for start in range(0, len(keys), 5):
                mine |= store.claim(keys[start : start + 5], f"{number}@1.00", lambda process: True)
            barrier.wait()
            keep(store, *(replace(ONE, key=key, samples=(float(number),)) for key in sorted(mine)))
            return mine

    with ThreadPoolExecutor(4) as threads:
        shares = list(threads.map(driver, range(4)))
    assert sorted(key for mine in shares for key in mine) == sorted(keys)
    with Store(place) as store:
        assert sorted(row[0] for row in store.query("SELECT key FROM measurement")) == sorted(keys)
