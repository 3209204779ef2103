"""Processes in other folders: what they say, and that nothing of them is left."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from bench.sweep.roots import ElsewhereError, Remote, SilenceError, elsewhere


def folder_of(name, alive):
    alive()
    return os.getcwd(), name


def raising(alive):
    raise ValueError("oops")


def leaving(alive):
    sys.exit("gone")


def dying(alive):
    print("noise on stdout")
    os._exit(3)


def silent(alive):
    alive()
    signal.pause()


def forking(pipe):
    child = os.fork()
    if child == 0:
        signal.pause()
    pipe.send((os.getpid(), child))
    signal.pause()


def test_a_function_works_in_the_folder(tmp_path):
    assert elsewhere(folder_of, str(tmp_path), "", "name") == (str(tmp_path), "name")


@pytest.mark.parametrize(
    ("function", "words"),
    [(raising, "oops"), (leaving, "gone"), (dying, "its process died with status 3"), (silent, "no answer within 1 s")],
)
def test_how_it_ended_is_said(tmp_path, function, words, capfd):
    with pytest.raises(ElsewhereError, match=words):
        elsewhere(function, str(tmp_path), "", limit=1.0 if function is silent else 300.0)
    assert capfd.readouterr().out == ""


def gone(pids):
    """Whether these processes end; a zombie has."""
    for _ in range(600):
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
            return True
        time.sleep(0.1)
    return False


def test_what_a_network_forked_is_ended_with_it():
    with Remote(forking, daemon=True) as process:
        pids = process.receive(300.0)
        assert all(psutil.pid_exists(pid) for pid in pids)
        with pytest.raises(SilenceError, match="no answer within"):
            process.receive(0.1)
    assert gone(pids)


def test_nothing_is_left_of_a_driver_that_was_killed():
    script = (
        "import os, signal\nfrom test_roots import forking\nfrom bench.sweep.roots import Remote\n"
        "if __name__ == '__main__':\n    with Remote(forking, daemon=True) as process:\n"
        "        print(*process.receive(300.0), flush=True)\n        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    file = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    pids = [int(word) for word in file.stdout.split()]
    assert len(pids) == 2
    assert gone(pids)
