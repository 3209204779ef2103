import math
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from bench.hardware.process import is_running
from bench.sweep.executors import Exit, Progress
from bench.sweep.executors.local import LocalExecutor, _followed, described


@pytest.fixture
def executor():
    executor = LocalExecutor(2)
    yield executor
    executor.stop()


def count(emit):
    for number in range(3):
        emit(number)


def kill_supervisor(emit):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def kill_fork_server(emit):
    psutil.Process().parent().parent().kill()
    time.sleep(600)


def hang(emit):
    time.sleep(600)


def leave(emit):
    emit(1)
    os._exit(7)


def print_and_raise(emit):
    print("this must not reach the driver's stdout")
    raise RuntimeError("first line\nsecond line")


def test_what_a_job_emits_arrives_in_order(executor):
    items = []
    assert executor.submit(count, items.append, timeout=60).result().error is None
    assert items == [0, 1, 2]


class Script:
    """A job's process, its pipe and the time: it sends each item after so many seconds, and then nothing more."""

    exitcode, sentinel = None, "sentinel"

    def __init__(self, monkeypatch, *items):
        self.items, self.now = list(items), 0.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("multiprocessing.connection.wait", self.wait)

    def wait(self, objects, left):
        delay = self.items[0][0] if self.items else math.inf
        self.now += min(delay, math.inf if left is None else left)
        return [] if left is not None and delay > left else objects

    def poll(self):
        return True

    def recv(self):
        _, tag, item = self.items.pop(0)
        return tag, item


START, END = (0, "started", None), (0, "ended", None)


def test_results_restart_the_clock_of_a_job_and_progress_does_not(monkeypatch):
    results = [(0.9, "item", number) for number in range(4)]
    received = []
    script = Script(monkeypatch, START, *results, END)
    assert _followed(script, script, received.append, 1.0) == Exit(None)
    assert (received, script.now) == ([0, 1, 2, 3], pytest.approx(3.6))
    progress = [(0.3, "item", Progress("x", step, 9)) for step in range(9)]
    script = Script(monkeypatch, START, *progress, END)
    assert _followed(script, script, received.append, 1.0) == Exit("timeout: no result within 1 s")
    assert script.now == pytest.approx(1.0)


def test_waiting_for_the_device_does_not_start_the_clock(monkeypatch):
    waiting = (50.0, "waiting", Progress("waiting for cpu", 0, 0))
    script = Script(monkeypatch, waiting, (50.0, "started", None), (0.9, "ended", None))
    assert _followed(script, script, lambda item: None, 1.0) == Exit(None)


def test_a_job_that_hangs_is_ended(executor):
    pids = []
    assert executor.submit(hang, pids.append, timeout=0.5).result().error == "timeout: no result within 0.5 s"
    assert not executor._processes


def test_an_exit_differs_from_an_end(executor):
    assert "exit status 7 before its work was done" in executor.submit(leave, lambda i: None, timeout=60).result().error


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="needs a fork server")
@pytest.mark.parametrize("kill", [kill_fork_server, kill_supervisor])
def test_the_death_of_what_starts_a_job_comes_from_outside_and_the_next_job_runs(executor, kill):
    end = executor.submit(kill, lambda item: None, timeout=300).result()
    assert end == Exit("died: killed by SIGKILL, or the process that started it was", "outside")
    assert executor.submit(count, lambda item: None, timeout=60).result().error is None


def test_an_exception_is_told_by_its_first_line_and_prints_go_to_stderr(executor, capfd):
    end = executor.submit(print_and_raise, lambda i: None, timeout=60).result()
    assert end.error == "failed: RuntimeError: first line"
    assert "must not reach" not in capfd.readouterr().out


def test_out_of_memory_is_a_kind_of_error_of_its_own():
    class OutOfMemoryError(RuntimeError):
        pass

    assert described(OutOfMemoryError("CUDA out of memory. Tried")) == "oom: CUDA out of memory. Tried"
    assert described(MemoryError()) == "oom: out of memory"


def test_workers_that_cannot_start_end_the_run_instead_of_failing_every_measurement(tmp_path, plugin):
    (tmp_path / "a.yaml").write_text("question: q\narchitecture: trivial\nmetrics: [twice]\nvary: {a: [1, 2, 3]}\n")
    code = f"""
        from bench.spec import ablation
        from bench.sweep import driver as sweep
        from bench.sweep import plan as planning
        from bench.sweep import driver as sweep
        from bench.sweep.executors.local import LocalExecutor, WorkerError
        from bench.results.store import Store
        with Store("s.sqlite") as store:
            executor = LocalExecutor(1)
            try:
                sweep.run(planning.plan(ablation.load("a.yaml", plugins=[{plugin!r}]), store), store, executor)
            except WorkerError as error:
                print("refused:", error, len(store.records()))
            finally:
                executor.stop()
    """
    done = subprocess.run(
        [sys.executable, "-"], input=textwrap.dedent(code), cwd=tmp_path, text=True, capture_output=True
    )
    assert "refused: a worker process could not start" in done.stdout, done.stderr
    assert done.stdout.strip().endswith(" 0")


def test_a_worker_does_not_outlive_its_driver(tmp_path):
    """The worker would run for ten minutes; it may take as long to be ended as a busy machine needs."""
    script = tmp_path / "driver.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, pathlib, signal, time
            from bench.hardware.process import this_process
            from bench.sweep.executors.local import LocalExecutor
            def work(emit):
                emit(this_process())
                time.sleep(600)
            if __name__ == "__main__":
                received = []
                LocalExecutor(1).submit(work, received.append, timeout=300)
                while not received:
                    time.sleep(0.01)
                pathlib.Path("process").write_text(received[0])
                os.kill(os.getpid(), signal.SIGKILL)
            """
        )
    )
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, timeout=120)
    worker, ends = (tmp_path / "process").read_text(), time.monotonic() + 120
    while is_running(worker):
        assert time.monotonic() < ends, "the worker still runs two minutes after its driver died"
        time.sleep(0.02)
