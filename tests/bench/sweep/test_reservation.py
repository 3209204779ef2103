"""Locks of devices: no content of a file breaks them, and where none can be made the run ends and stores nothing."""

import os
import platform
import subprocess
import sys

import pytest

from bench.results.frame import load
from bench.sweep.executors import WorkerError
from bench.sweep.executors.reservation import in_use, lock_folder, reserved

LOCKS = f"locks/{platform.node()}"
"""The folder of this machine's locks, below that of caches."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fovbench"


def a_folder(path):
    path.mkdir(parents=True)


def a_file(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"garbage")


@pytest.mark.parametrize("name", ["cpu.lock", "cpu.turnstile", "cpu.db"])
def test_garbage_in_the_file_of_a_lock_changes_nothing(cache, name):
    a_file(cache / LOCKS / name)
    with reserved("cpu", "exclusive", print):
        assert (cache / LOCKS / name).read_bytes() == b"garbage"


def test_another_process_sees_that_a_device_is_in_use_until_its_holder_ends(cache):
    code = "import sys; from bench.sweep.executors.reservation import *; print(in_use(lock_folder() / 'cpu.lock'))"

    def seen():
        return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout.strip()

    for lane in ("shared", "exclusive"):
        with reserved("cpu", lane, print):
            assert seen() == "True"
        assert seen() == "False"
    assert not in_use(lock_folder() / "cpu.lock")


def test_machines_that_share_the_folder_of_caches_do_not_wait_for_each_other(cache):
    code = """if True:
        import platform, sys
        from bench.sweep.executors.reservation import *
        platform.node = lambda: sys.argv[1]
        print(in_use(lock_folder() / "cpu.lock"))
    """

    def seen_on(machine):
        command = [sys.executable, "-c", code, machine]
        return subprocess.run(command, text=True, capture_output=True, check=True).stdout.strip()

    with reserved("cpu", "exclusive", print):
        assert seen_on(platform.node()) == "True"
        assert seen_on("another-machine") == "False"


REFUSED = [
    ("", a_file, "Not a directory"),
    ("locks", a_file, "Not a directory"),
    (f"{LOCKS}/cpu.turnstile", a_folder, "Is a directory"),
    (f"{LOCKS}/cpu.lock", a_folder, "Is a directory"),
]


@pytest.mark.parametrize(("name", "make", "reason"), REFUSED)
def test_where_no_lock_can_be_made_one_line_says_where_and_what_would_work(cache, name, make, reason):
    make(cache / name)
    with pytest.raises(WorkerError, match=reason) as caught, reserved("cpu", "shared", print):
        pass
    text = str(caught.value)
    assert text.startswith(str(cache))
    assert "set XDG_CACHE_HOME" in text
    assert "\n" not in text


@pytest.mark.parametrize(("name", "make", "reason"), REFUSED[2:])
def test_a_run_ends_with_that_line_and_stores_nothing(cache, tmp_path, plugin, name, make, reason):
    make(cache / name)
    (tmp_path / "a.yaml").write_text("question: q\narchitecture: trivial\nmetrics: [twice]\n")
    command = [sys.executable, "-m", "bench.cli", "run", "a.yaml", "--plugin", plugin, "--store", "s", "--no-report"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {cache / name}: {reason}")
    assert load(tmp_path / "s").empty


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_named(cache):
    cache.mkdir(parents=True, mode=0o500)
    with pytest.raises(WorkerError, match="Permission denied"):
        lock_folder()
