"""A file that is written is the old one or the new one at any moment, and keeps what it was otherwise."""

import contextlib
import os
from pathlib import Path

import pytest

from bench.registry import writing
from bench.registry.writing import present, replacing_folder, write_bytes, write_text


class Killed(BaseException):
    """Ends the process at once, as far as a test can."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_text_is_written_as_utf_8_with_line_feeds_into_folders_that_are_made(tmp_path):
    path = write_text(tmp_path / "a" / "b.csv", "ü\n")
    assert path.read_bytes() == b"\xc3\xbc\n"
    assert names(path.parent) == ["b.csv"]


@pytest.mark.parametrize("step", ["chmod", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = write_text(tmp_path / "a.txt", "old")

    def fail(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, fail)
        with pytest.raises(Killed):
            write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_text(tmp_path / "a.txt", "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert (path.read_text(), names(tmp_path)) == ("old", ["a.txt"])


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("fsync"), fsync(handle)))
    monkeypatch.setattr(Path, "replace", lambda self, other: (events.append("replace"), replace(self, other))[1])
    write_bytes(tmp_path / "a", b"x")
    assert events == ["fsync", "replace"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a", "x")
        with replacing_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~mask


def test_an_old_file_keeps_its_permissions_and_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_to_and_stays_a_device():
    write_text(Path(os.devnull), "x")
    assert not Path(os.devnull).is_file()


def folder_with(path, text):
    with replacing_folder(path) as new:
        (new / "a").write_text(text)
    return path


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = folder_with(tmp_path / "b", "old")
    (folder / "stale").touch()
    folder_with(folder, "new")
    assert names(folder) == ["a"]
    assert (folder / "a").read_text() == "new"
    assert names(tmp_path) == ["b"]


def test_a_failure_while_filling_leaves_the_old_folder(tmp_path):
    folder = folder_with(tmp_path / "b", "old")
    with pytest.raises(UnicodeEncodeError):
        folder_with(folder, "\ud800")
    assert (folder / "a").read_text() == "old"
    assert names(tmp_path) == ["b"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_at_any_rename_leaves_a_whole_folder_and_the_next_writing_mends_the_rest(tmp_path, monkeypatch, renames):
    """Killed after so many renames: neither clean-up nor a later step runs."""
    folder = folder_with(tmp_path / "b", "old")
    rename, count = Path.rename, iter(range(9))

    def killed(self, target):
        if next(count) >= renames:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        patch.setattr(writing, "_put_back", lambda target: None)
        patch.setattr(writing.shutil, "rmtree", lambda *_, **__: None)
        with contextlib.suppress(Killed):
            folder_with(folder, "new")
    assert (present(folder) / "a").read_text() == ("new" if renames == 2 else "old")
    folder_with(folder, "newest")
    assert present(folder) == folder
    assert (folder / "a").read_text() == "newest"
    assert [name for name in names(tmp_path) if not name.endswith(".part")] == ["b"]


def test_present_is_the_folder_itself_where_nothing_is_set_aside(tmp_path):
    assert present(tmp_path / "nothing") == tmp_path / "nothing"
