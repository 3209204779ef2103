"""What a store holds, and `vacuum`: no row is lost, the file becomes smaller, and others may read it meanwhile."""

import random
import sqlite3

import pytest

from bench.results.location import location_of
from bench.results.store import Store
from bench.results.storefile import VERSION, StoreError
from bench.results.upkeep import contents, vacuum
from tests.bench.results.test_store import ONE, keep


def filled(path):
    with Store(path) as store:
        keep(store, ONE)
        store.add_note("a", "x" * 1_000_000)
        store.add_note("a", "short")


def test_vacuum_gives_back_the_space_of_what_was_removed_and_keeps_every_row(tmp_path):
    path = tmp_path / "store.sqlite"
    filled(path)
    with Store(path) as reader:
        records = reader.records()
        before, after = vacuum(path)
        assert reader.records() == records
    assert before > 1_000_000 > after
    assert after == path.stat().st_size


def test_contents_can_be_read_while_the_store_is_written(tmp_path):
    path = tmp_path / "store.sqlite"
    filled(path)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM note")
    has = contents(path)
    writer.execute("ROLLBACK")
    writer.close()
    assert (has.version, has.rows["measurement"], has.rows["note"], has.replaced) == (VERSION, 1, 1, 0)


def test_vacuum_of_a_server_writes_its_tables_anew(url):
    server = location_of(url)
    filled(server)
    with Store(server) as store:
        for number in range(20):
            store.add_note("a", random.Random(number).randbytes(50_000).hex())
    before, after = vacuum(server)
    has = contents(server)
    assert before > after == has.bytes
    assert (has.rows["measurement"], has.rows["note"], has.store) == (1, 1, str(server))


def test_a_missing_store_is_said_and_not_made(tmp_path):
    path = tmp_path / "none.sqlite"
    assert contents(path) is None
    with pytest.raises(StoreError, match="no results store"):
        vacuum(path)
    assert not path.exists()


def test_a_server_without_a_store_is_said_and_nothing_is_made(url):
    server = location_of(url)
    assert contents(server) is None
    with pytest.raises(StoreError, match="no results store"):
        vacuum(server)
    assert contents(server) is None
