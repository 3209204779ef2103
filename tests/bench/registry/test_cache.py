"""What is kept between runs: never wrong, whatever happens to the file."""

import threading

import pytest

from bench.registry.cache import cache_folder, read_table, write_table


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fovbench"


def test_a_table_is_read_as_it_was_written_by_the_same_version_only():
    assert read_table("t", b"1") == {}
    write_table("t", b"1", {"a": (1, "x"), "b": compile("c = 2", "f", "exec")})
    held = {}
    exec(read_table("t", b"1")["b"], held)
    assert held["c"] == 2
    assert read_table("t", b"1")["a"] == (1, "x")
    assert read_table("t", b"2") == {}


@pytest.mark.parametrize("place", [0, 31, 32, 40, -1])
def test_a_damaged_file_is_as_good_as_none(own_folder, place):
    write_table("t", b"1", {"a": 1, "b": "two"})
    file = own_folder / "t"
    held = bytearray(file.read_bytes())
    held[place] ^= 1
    file.write_bytes(held)
    assert read_table("t", b"1") == {}
    for length in (0, 10, 32, len(held) - 1):
        file.write_bytes(held[:length])
        assert read_table("t", b"1") == {}


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    write_table("t", b"1", {"a": 1})
    assert read_table("t", b"1") == {}


def test_whoever_reads_while_others_write_finds_a_whole_table(own_folder):
    tables = [{"who": n, "much": list(range(2000 * n))} for n in (1, 2, 3)]
    write_table("t", b"1", tables[0])
    done = threading.Event()

    def write(table):
        while not done.is_set():
            write_table("t", b"1", table)

    writers = [threading.Thread(target=write, args=(table,)) for table in tables]
    for writer in writers:
        writer.start()
    found = [read_table("t", b"1") for _ in range(300)]
    done.set()
    for writer in writers:
        writer.join()
    assert all(table in tables for table in found)
    assert [file.name for file in own_folder.iterdir()] == ["t"]


def test_the_folder_is_the_users_own(tmp_path):
    assert cache_folder() == tmp_path / "fovbench"
