"""Damage of a store: `check` names it, no reader uses it, and the next run measures it again."""

import random
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from bench.results.checking import check
from bench.results.database import database_at
from bench.results.location import Server, local_file, location_of
from bench.results.measurement import Evaluation
from bench.results.spill import Spilled, files_of
from bench.results.spill import write as spill
from bench.results.store import Store, is_damaged, row_of
from bench.results.storefile import StoreError
from tests.bench.results.test_store import ONE, keep
from tests.bench.results.test_storefile import contents, to_layout_2

EVALUATION = Evaluation("segmentation", {"confusion": np.arange(300)}, ("a", "b"), facts={"mode": "fp32"})


@pytest.fixture
def filled(place):
    """A closed store with something in each table, in a file and on a server."""
    return fill(location_of(place))


@pytest.fixture
def filled_file(tmp_path):
    return fill(tmp_path / "s.sqlite")


def fill(place):
    with Store(place) as store:
        rows = (
            replace(ONE, key=f"k{i}", seed=i, detail={"x": "y" * 10 * i}, environment={"e": i % 3}) for i in range(20)
        )
        keep(store, *rows)
        keep(store, replace(ONE, key="k1", seed=1, samples=(0.7,)), replaced=True)
        store.add_evaluation("t", EVALUATION)
        store.add_signatures({"a": {"graph": "g"}, "b": {"graph": "h"}})
        store.add_note("ablation", "because")
        store.remember_fingerprint("d", "train=1a")
        store.claim(["z1", "z2"], "1@2", lambda owner: True)
    return place


def change(place, statement, *arguments):
    """Change a store as no code of ours does."""
    if isinstance(place, Server):
        with closing(database_at(place)) as database, database.transaction() as connection:
            connection.execute(statement, arguments)
        return
    with closing(sqlite3.connect(place)) as connection:
        connection.execute(statement, arguments)
        connection.commit()


def faults(path):
    return [finding for finding in check(path) if finding.level == "fault"]


def everything(path):
    """All that can be read of the store."""
    with Store(path) as store:
        evaluation = store.evaluation("t")
        arrays = {name: values.tolist() for name, values in evaluation.units.items()} if evaluation else None
        return repr((
            store.records(), store.rows(), store.evaluated(), arrays, evaluation and (evaluation.facts, evaluation.names),
            store.signatures(["a", "b"]), store.note("ablation"), store.fingerprint("d"), store.precedents(), store.macs(),
            list(store.parts("net", "miou")), store.measured(f"k{i}" for i in range(20)),
            store.query("SELECT key, owner FROM claim"), store.query("SELECT id, live, key FROM measurement"),
        ))  # fmt: skip


def test_a_sound_store_has_no_fault_and_is_not_changed(filled):
    folder = local_file(filled).parent
    folder.mkdir(exist_ok=True)
    before = contents(folder), everything(filled)
    assert check(filled) == []
    assert (contents(folder), everything(filled)) == before


def test_every_flipped_byte_is_reported_or_changes_nothing_that_is_read(filled_file, tmp_path):
    """Reading a flipped store raises nothing but StoreError, and what `check` does not report reads as before."""
    whole, sound_reading = filled_file.read_bytes(), everything(filled_file)
    draw = random.Random(13)
    flipped = tmp_path / "flipped.sqlite"
    reports = 0
    for _ in range(250):
        content = bytearray(whole)
        place = draw.randrange(len(content))
        content[place] ^= draw.randrange(1, 256)
        flipped.write_bytes(content)
        reading = outcome(everything, flipped)
        reported = outcome(faults, flipped) != []
        assert reported or reading == sound_reading, f"byte {place} of {len(content)}"
        reports += reported
    assert reports > 30


def outcome(function, path):
    try:
        return function(path)
    except StoreError as error:
        return error


@pytest.mark.parametrize(
    "change_of",
    [
        "samples = '[0.9]'", "samples = 'garbage'", "seed = 7", "metric = 'pixel_accuracy'", "axes = '[[\"a\",2]]'",
        "axes = '3'", "workload = '{}'", "error = 'oom: x'", "exact = 1", "duration = 9.0", "unit = 'px'",
        "created = '2020'", "detail = '{\"a\":1}'", "contributions = '[1.0]'", "traceback = 'x'", "environment = 3",
        "environment = 99", "parts = '[]'", "samples = CAST(x'ff5b' AS TEXT)", "variant = 'other'",
    ],
)  # fmt: skip
def test_a_changed_row_is_a_failure_in_every_reading_and_due_again(filled, change_of):
    if isinstance(filled, Server) and change_of in ("environment = 99", "samples = CAST(x'ff5b' AS TEXT)"):
        pytest.skip("the server itself refuses a reference to nothing, and text that is no UTF-8")
    change(filled, f"UPDATE measurement SET {change_of} WHERE key = 'k4'")
    with Store(filled) as store:
        damaged = [record for record in store.records() if is_damaged(record)]
        assert [record.measurement.key for record in damaged] == ["k4"]
        assert damaged[0].measurement.samples == ()
        assert store.measured(["k4"])["k4"].is_damaged
        assert "k4" not in [row["key"] for row in store.rows()]
        assert "key k4, is damaged" in store.damage["k4"]
    assert any("k4" in finding.text for finding in faults(filled))


def test_a_new_measurement_takes_the_place_of_a_damaged_row(filled):
    change(filled, "UPDATE measurement SET samples = '[0.9]' WHERE key = 'k4'")
    with Store(filled) as store:
        assert keep(store, replace(ONE, key="k4", seed=4, samples=(0.5,))) == 1
        assert keep(store, replace(ONE, key="k4", seed=4, samples=(0.6,))) == 0
        (record,) = store.records(["k4"])
        assert record.measurement.samples == (0.5,)
    (finding,) = faults(filled)
    assert "it is history" in finding.text


@pytest.mark.parametrize("arrays", [b"", b"garbage", b"PK\x03\x04" + bytes(100)])
def test_a_damaged_evaluation_counts_as_none(filled, arrays):
    change(filled, "UPDATE evaluation SET arrays = ?", arrays)
    with Store(filled) as store:
        assert store.evaluation("t") is None
        assert "training run t is damaged" in store.damage["t"]
    assert [finding.place for finding in faults(filled)] == ["evaluation t"]


@pytest.mark.parametrize("arrays", [b"", b"garbage", b"PK\x03\x04" + bytes(100)])
def test_an_unreadable_evaluation_without_checksum_counts_as_none(filled, arrays):
    change(filled, "UPDATE evaluation SET checksum = '', arrays = ?", arrays)
    with Store(filled) as store:
        assert store.evaluation("t") is None


def test_damaged_texts_count_as_none(filled):
    change(filled, "UPDATE signature SET facts = '{}' WHERE key = 'a'")
    change(filled, "UPDATE note SET text = 'other'")
    change(filled, "UPDATE fingerprint SET value = 'train=2b'")
    with Store(filled) as store:
        assert set(store.signatures(["a", "b"])) == {"b"}
        assert (store.note("ablation"), store.fingerprint("d")) == ("", None)
        assert set(store.damage) == {"ablation", "d"}
    assert {finding.place for finding in faults(filled)} == {"signature a", "note ablation", "fingerprint d"}


def test_rows_of_layout_2_have_no_checksum_and_garbage_in_them_is_damage(filled_file):
    to_layout_2(filled_file)
    assert [(f.level, f.text) for f in check(filled_file)] == [
        ("note", "21 measurements have no checksum (stored by an earlier version)")
    ]
    change(filled_file, "UPDATE measurement SET samples = '[0.' WHERE key = 'k3'")
    with Store(filled_file) as store:
        assert store.measured(["k3"])["k3"].is_damaged
        assert is_damaged(store.records(["k3"])[0])
    assert "k3" in faults(filled_file)[0].text


def test_orphaned_environments_and_waiting_results_are_notes(filled):
    change(filled, "INSERT INTO environment (facts) VALUES ('{}')")
    path = spill(local_file(filled), Spilled((row_of(replace(ONE, key="n"), "accuracy", {}, "2026-01-01"),)))
    assert files_of(local_file(filled)) == [path]
    texts = [finding.text for finding in check(filled)]
    assert texts == [
        "1 environments belong to no measurement",
        "1 results wait here; the next bench run adds them to the store",
    ]
    path.write_text(path.read_text().replace("0.30000000000000004", "0.4"))
    assert "does not match its checksum" in faults(filled)[0].text


def test_a_check_of_nothing_is_refused(tmp_path):
    with pytest.raises(StoreError, match="there is no results store"):
        check(tmp_path / "s.sqlite")
    assert list(tmp_path.iterdir()) == []
