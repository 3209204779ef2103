"""Which files are stores, and that reading leaves no trace on any file."""

import contextlib
import os
import shutil
import sqlite3
from dataclasses import replace

import pytest

from bench.results.frame import load
from bench.results.store import Store
from bench.results.storefile import APPLICATION_ID, StoreError
from tests.bench.results.test_store import ONE, keep

READS = {
    "measured": lambda store: store.measured(["k1"]),
    "records": lambda store: store.records(),
    "evaluation": lambda store: store.evaluation("t"),
    "signatures": lambda store: store.signatures(["k"]),
    "note": lambda store: store.note("a"),
    "fingerprint": lambda store: store.fingerprint("d"),
    "precedents": lambda store: store.precedents(),
    "macs": lambda store: store.macs(),
    "parts": lambda store: list(store.parts("net", "miou")),
}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def foreign(path, *, wal=False, identity=0, version=0, tables=("history",)):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode=WAL")
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (a TEXT)")
        connection.execute(f"PRAGMA application_id={identity}")
        connection.execute(f"PRAGMA user_version={version}")
        connection.commit()


def refused(path, match):
    """Both reading and writing raise StoreError, and change nothing in the folder."""
    before = contents(path.parent)
    with Store(path) as store, pytest.raises(StoreError, match=match):
        store.records()
    with Store(path) as store, pytest.raises(StoreError, match=match):
        keep(store, ONE)
    assert contents(path.parent) == before


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"wal": True},
        {"identity": 0x12345678},
        {"identity": 0x12345678, "tables": ()},
        {"version": 2},
        {"version": 3, "wal": True},
        {"version": 99},
        {"tables": ("measurement", "note"), "version": 2},
    ],
)
def test_a_database_of_another_program_is_refused_and_untouched(tmp_path, how):
    foreign(tmp_path / "s.sqlite", **how)
    refused(tmp_path / "s.sqlite", "a database of another program")


def test_a_database_of_another_program_that_it_has_open_is_untouched(tmp_path):
    path = tmp_path / "s.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as program:
        program.execute("PRAGMA journal_mode=WAL")
        program.execute("CREATE TABLE history (a TEXT)")
        program.commit()
        refused(path, "a database of another program")


@pytest.mark.parametrize("content", [b"no database", b"no database" * 1000, b"SQLite format 2" + bytes(200)])
def test_a_file_that_is_no_database_is_refused_and_untouched(tmp_path, content):
    (tmp_path / "s.sqlite").write_bytes(content)
    refused(tmp_path / "s.sqlite", "file is not a database")


def test_a_folder_and_a_pipe_are_refused_at_once(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        refused(tmp_path / name, "not a regular file")


def test_an_empty_file_reads_as_an_empty_store_and_stays_empty_until_something_is_written(tmp_path):
    path = tmp_path / "s.sqlite"
    path.touch()
    with Store(path) as store:
        assert store.records() == []
        assert path.read_bytes() == b""
        keep(store, ONE)
        assert len(store.records()) == 1


def test_a_store_has_an_application_id(store_file):
    keep(store_file, ONE)
    with contextlib.closing(sqlite3.connect(store_file.path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("file", ["s.sqlite", "a b?c#d%41;e.sqlite"])
def test_reading_changes_no_file_and_leaves_none(tmp_path, name, file):
    with Store(tmp_path / file) as store:
        keep(store, ONE)
    before = contents(tmp_path)
    assert set(before) == {file}
    with Store(tmp_path / file) as store:
        READS[name](store)
        assert contents(tmp_path) == before
        assert len(store.records()) == 1
    assert contents(tmp_path) == before


def watched(monkeypatch):
    """The connections that are opened from now on, each of which must be unable to write (also for root)."""
    opened = []
    connect = sqlite3.connect

    def recorded(*arguments, **options):
        connection = connect(*arguments, **options)
        opened.append(arguments[0])
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("CREATE TABLE probe (a)")
        return connection

    monkeypatch.setattr(sqlite3, "connect", recorded)
    return opened


@pytest.mark.parametrize("name", READS)
def test_reading_opens_no_connection_that_could_write(tmp_path, name, monkeypatch):
    with Store(tmp_path / "s.sqlite") as store:
        keep(store, ONE)
    opened = watched(monkeypatch)
    with Store(tmp_path / "s.sqlite") as store:
        READS[name](store)
    assert len(opened) == 1


def test_what_a_living_run_has_stored_is_read_from_its_log(tmp_path, monkeypatch):
    path = tmp_path / "s.sqlite"
    with Store(path) as writer:
        keep(writer, ONE)
        opened = watched(monkeypatch)
        with Store(path) as reader:
            assert len(reader.records()) == 1
            keep(writer, replace(ONE, key="k2"))
            assert len(reader.records()) == 2
        assert len(opened) == 1


def test_a_store_that_is_written_between_two_queries_is_read_anew(tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        keep(store, ONE)
    with Store(path) as reader:
        assert len(reader.records()) == 1
        with Store(path) as writer:
            keep(writer, *(replace(ONE, key=f"n{i}", detail={"x": "y" * 3000}) for i in range(40)))
        assert len(reader.records()) == 41


def killed_copy(path, folder, *, with_index):
    """A store as a killed run leaves it: the last result is in the log only."""
    with Store(path) as store:
        keep(store, ONE)
        for end in ("", "-wal", *(["-shm"] if with_index else [])):
            shutil.copyfile(f"{path}{end}", folder / f"s.sqlite{end}")


@pytest.mark.parametrize("with_index", [True, False])
def test_the_log_of_a_killed_run_is_read_also_in_a_folder_that_cannot_be_written(tmp_path, monkeypatch, with_index):
    folder = tmp_path / "killed"
    folder.mkdir()
    killed_copy(tmp_path / "s.sqlite", folder, with_index=with_index)
    connect = sqlite3.connect

    def without_new_files(database, *arguments, **options):
        """As in a read-only folder, also for root: an index of the log that is missing cannot be made."""
        if "mode=ro" in str(database) and not with_index:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            return Unopened(error)
        return connect(database, *arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", without_new_files)
    with Store(folder / "s.sqlite") as store:
        assert [record.measurement for record in store.records()] == [ONE]


class Unopened:
    """A connection whose first query fails."""

    def __init__(self, error):
        self.error = error

    def execute(self, *_):
        raise self.error

    def close(self):
        pass


def to_layout_2(path):
    """Take away what layout 3 added."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table, *columns in (
            ("measurement", "traceback", "files", "checksum"),
            *((table, "checksum") for table in ("evaluation", "signature", "note", "fingerprint")),
        ):
            for column in columns:
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("DROP INDEX by_owner")
        connection.execute("PRAGMA application_id=0")
        connection.execute("PRAGMA user_version=2")
        connection.commit()


def test_a_store_of_layout_2_is_read_as_it_is_and_brought_up_by_the_first_write(tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        keep(store, ONE)
        store.add_signatures({"s": {"graph": "g"}})
        store.add_note("a", "because")
    to_layout_2(path)
    before = contents(tmp_path)
    with Store(path) as store:
        assert [record.measurement for record in store.records()] == [ONE]
        assert (store.note("a"), store.signatures(["s"])) == ("because", {"s": {"graph": "g"}})
        assert store.measured(["k1"])["k1"].error is None
    assert contents(tmp_path) == before
    with Store(path) as store:
        keep(store, replace(ONE, key="k2"))
        assert [record.measurement.key for record in store.records()] == ["k1", "k2"]
        assert store.note("a") == "because"


def test_a_killed_run_of_layout_2_is_recognised_by_its_log(tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        keep(store, ONE)
    to_layout_2(path)
    (tmp_path / "killed").mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE measurement SET duration = 2.5")
        connection.commit()
        for end in ("", "-wal"):
            shutil.copyfile(f"{path}{end}", tmp_path / "killed" / f"s.sqlite{end}")
    with Store(tmp_path / "killed" / "s.sqlite") as store:
        assert store.measured(["k1"])["k1"].duration == 2.5


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_a_truncated_store_is_one_line(tmp_path, cut):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        keep(store, *(replace(ONE, key=f"k{i}", detail={"x": "y" * 2000}) for i in range(40)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with Store(path) as store, pytest.raises(StoreError, match="damaged") as error:
        store.records()
    assert "\n" not in str(error.value)


def test_a_store_without_a_table_is_one_line(store_file):
    keep(store_file, ONE)
    with contextlib.closing(sqlite3.connect(store_file.path)) as connection:
        connection.execute("DROP TABLE environment")
    with Store(store_file.path) as reader, pytest.raises(StoreError, match="no such table"):
        reader.records()


def test_reading_where_nothing_is_makes_nothing(tmp_path):
    for read in READS.values():
        with Store(tmp_path / "deep" / "s.sqlite") as store:
            read(store)
    assert list(tmp_path.iterdir()) == []
    assert load(tmp_path / "deep" / "s.sqlite").empty
    assert list(tmp_path.iterdir()) == []
