"""Cached tables are never wrong, whatever happens to their file."""

import threading
from pathlib import Path

import pytest

from bench.registry.cache import cache_folder, read_table, write_table


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fovbench"


def test_a_table_is_read_as_it_was_written_by_the_same_version_only():
    assert read_table("t", b"1") == {}
    write_table("t", b"1", {"a": (1, "x"), "b": compile("c = 2", "f", "exec")})
    namespace = {}
    exec(read_table("t", b"1")["b"], namespace)
    assert namespace["c"] == 2
    assert read_table("t", b"1")["a"] == (1, "x")
    assert read_table("t", b"2") == {}


@pytest.mark.parametrize("place", [0, 31, 32, 40, -1])
def test_a_damaged_file_reads_as_empty(own_folder, place):
    write_table("t", b"1", {"a": 1, "b": "two"})
    file = own_folder / "t"
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert read_table("t", b"1") == {}
    for length in (0, 10, 32, len(content) - 1):
        file.write_bytes(content[:length])
        assert read_table("t", b"1") == {}


def test_where_nothing_can_be_written_nothing_is_stored(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    write_table("t", b"1", {"a": 1})
    assert read_table("t", b"1") == {}


def test_a_reader_gets_a_whole_table_while_others_write(own_folder):
    tables = [{"who": n, "much": list(range(2000 * n))} for n in (1, 2, 3)]
    write_table("t", b"1", tables[0])
    done = threading.Event()

    def write(table):
        while not done.is_set():
            write_table("t", b"1", table)

    writers = [threading.Thread(target=write, args=(table,)) for table in tables]
    for writer in writers:
        writer.start()
    read = [read_table("t", b"1") for _ in range(300)]
    done.set()
    for writer in writers:
        writer.join()
    assert all(table in tables for table in read)
    assert [file.name for file in own_folder.iterdir()] == ["t"]


def test_the_folder_follows_xdg_cache_home_on_every_platform(tmp_path):
    assert cache_folder() == tmp_path / "fovbench"


def test_without_it_the_folder_is_the_platforms_own(monkeypatch):
    import platformdirs

    for value in (None, ""):
        monkeypatch.setenv("XDG_CACHE_HOME", "") if value == "" else monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_folder() == Path(platformdirs.user_cache_dir("fovbench", appauthor=False))
        assert cache_folder().is_relative_to(Path.home())


def test_a_user_without_a_home_folder_has_no_cache(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: Path("~/.cache/fovbench"))
    with pytest.raises(RuntimeError, match="set XDG_CACHE_HOME"):
        cache_folder()
    write_table("t", b"1", {"a": 1})
    assert read_table("t", b"1") == {}
