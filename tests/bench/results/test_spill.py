"""Results that could not be stored: where they are written, and that taking them in doubles and loses nothing."""

import contextlib
import os
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from bench.results import spill
from bench.results.measurement import Evaluation
from bench.results.spill import Spilled, files_of, read, take_in
from bench.results.store import row_of
from bench.results.storefile import StoreError
from tests.bench.results.test_store import ONE, keep

EVALUATION = Evaluation("segmentation", {"x": np.arange(4)}, ("a",), facts={"mode": "fp32"})


def row(measurement=ONE, created="2026-01-01T00:00:00+00:00"):
    return row_of(measurement, "accuracy", {"shape": [3, 8, 8]}, created)


def written(store, *rows, **options):
    return spill.write(store.path, Spilled(tuple(rows), **options))


def test_what_was_spilled_is_stored_exactly_and_the_file_removed(store):
    from bench.results.packing import packed

    one = replace(ONE, duration=1 / 3, detail={"a": "ü\n\u2028"}, files={"a.pt": "12ab"}, traceback="x\ny")
    path = written(store, row(one), evaluations=(("t", *packed(EVALUATION)),))
    assert path.parent == store.path.parent.absolute()
    assert take_in(store, files_of(store.path)) == 2
    assert [record.measurement for record in store.records()] == [one]
    assert store.records()[0].created == "2026-01-01T00:00:00+00:00"
    evaluation = store.evaluation("t")
    assert evaluation is not None
    np.testing.assert_array_equal(evaluation.units["x"], np.arange(4))
    assert not path.exists()
    assert files_of(store.path) == []


def test_a_file_that_is_taken_in_twice_doubles_nothing(store):
    for replaced in (False, True):
        path = written(store, row(), replace=replaced)
        content = path.read_bytes()
        take_in(store, [path])
        path.write_bytes(content)  # killed before the file was removed
        assert take_in(store, [path]) == 0
        assert len(store.query("SELECT id FROM measurement")) == 1


def test_a_measurement_that_was_made_again_meanwhile_stays(store):
    keep(store, replace(ONE, samples=(0.9,)))
    assert take_in(store, [written(store, row())]) == 0
    assert store.records()[0].measurement.samples == (0.9,)
    assert take_in(store, [written(store, row(), replace=True)]) == 0, "the stored one is later"
    assert take_in(store, [written(store, row(created="2100-01-01T00:00:00+00:00"), replace=True)]) == 1
    assert store.records()[0].measurement.samples == ONE.samples


@pytest.mark.parametrize("line", ["", "garbage", "[]", "{}", '{"row": {}, "replace": false, "checksum": ""}'])
def test_a_damaged_file_is_named_with_its_line_and_kept(store, line):
    path = written(store, row())
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(StoreError, match=r"jsonl:2: damaged"):
        take_in(store, [path])
    assert path.exists()
    assert store.records() == []


def test_a_changed_digit_is_damage(store):
    path = written(store, row())
    path.write_text(path.read_text().replace("0.30000000000000004", "0.40000000000000004"))
    with pytest.raises(StoreError, match="checksum"):
        read(path)


def test_the_file_is_in_the_cache_folder_where_the_stores_folder_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "s.sqlite"  # its folder cannot be made
    path = spill.write(blocked, Spilled((row(),)))
    assert path.parent == tmp_path / "cache" / "fovbench"
    assert files_of(blocked) == [path]
    other = tmp_path / "other" / "s.sqlite"
    assert files_of(other) == [], "the results of another store of this name"


def test_where_no_folder_can_be_written_the_error_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(spill, "_folders", lambda store: [tmp_path / "file" / "a", tmp_path / "file" / "b"])
    with pytest.raises(OSError, match="Not a directory"):
        spill.write(tmp_path / "s.sqlite", Spilled((row(),)))


def test_two_files_of_one_process_have_two_names(store):
    assert written(store, row()) != written(store, row())
    assert len(files_of(store.path)) == 2


def test_files_of_other_users_and_links_are_not_taken_in(store, tmp_path, monkeypatch):
    path = written(store, row())
    (path.parent / path.name.replace(".jsonl", "0.jsonl")).symlink_to(path)
    assert files_of(store.path) == [path]
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    assert files_of(store.path) == []


def test_a_failed_commit_stores_nothing_and_the_store_can_be_written_again(store_file):
    keep(store_file, ONE)
    store_file.database.writer.execute("PRAGMA max_page_count=1")
    with pytest.raises(StoreError, match="database or disk is full"):
        keep(store_file, replace(ONE, key="k2", detail={"x": "y" * 300_000}))
    store_file.database.writer.execute("PRAGMA max_page_count=1000000")
    assert keep(store_file, replace(ONE, key="k2")) == 1
    with contextlib.closing(sqlite3.connect(store_file.path)) as connection:
        assert connection.execute("SELECT count(*) FROM measurement").fetchone() == (2,)


def test_a_folder_that_cannot_be_looked_into_has_no_results(store, tmp_path, monkeypatch):
    path = written(store, row())
    folders = [tmp_path / "missing", path, store.path.parent.absolute()]
    monkeypatch.setattr(spill, "_folders", lambda store: folders)
    assert files_of(store.path) == [path]
