import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bench.sweep.executors import Progress
from bench.sweep.executors.local import LocalExecutor, described


@pytest.fixture
def executor():
    executor = LocalExecutor(2)
    yield executor
    executor.stop()


def count(emit):
    for number in range(3):
        emit(number)


def report_only(emit):
    for step in range(100):
        emit(Progress("x", step, 100))
        time.sleep(0.05)


def slowly(emit):
    for number in range(4):
        time.sleep(0.4)
        emit(number)


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


def test_progress_does_not_restart_the_clock_but_results_do(executor):
    items = []
    assert executor.submit(report_only, items.append, timeout=1).result().error == "timeout: no result within 1 s"
    assert 1 < len(items) < 100
    assert executor.submit(slowly, items.append, timeout=1.2).result().error is None


def test_an_exit_before_the_end_of_a_job_is_an_error(executor):
    assert "exit status 7 before its work was done" in executor.submit(leave, lambda i: None, timeout=60).result().error


def test_an_exception_is_its_first_line_and_prints_go_to_stderr(executor, capfd):
    end = executor.submit(print_and_raise, lambda i: None, timeout=60).result()
    assert end.error == "failed: RuntimeError: first line"
    printed = capfd.readouterr()
    assert "must not reach" not in printed.out


def test_out_of_memory_is_a_kind_of_its_own():
    class OutOfMemoryError(RuntimeError):
        pass

    assert described(OutOfMemoryError("CUDA out of memory. Tried")) == "oom: CUDA out of memory. Tried"
    assert described(MemoryError()) == "oom: out of memory"


def test_workers_that_cannot_start_end_the_run_instead_of_failing_every_measurement(tmp_path, plugin):
    (tmp_path / "a.yaml").write_text("question: q\narchitecture: trivial\nmetrics: [twice]\nvary: {a: [1, 2, 3]}\n")
    code = f"""
        from bench.spec import ablation
        from bench.sweep import plan as planning
        from bench.sweep import driver as sweep
        from bench.sweep.executors.local import LocalExecutor, WorkerError
        from bench.results.store import Store
        with Store("s.sqlite") as store:
            executor = LocalExecutor(1)
            try:
                sweep.run(planning.plan(ablation.load("a.yaml", plugins=[{plugin!r}]), store), store, executor)
            except WorkerError as error:
                print("refused:", error, len(store.measurements()))
            finally:
                executor.stop()
    """
    done = subprocess.run(
        [sys.executable, "-"], input=textwrap.dedent(code), cwd=tmp_path, text=True, capture_output=True
    )
    assert "refused: a worker process could not start" in done.stdout, done.stderr
    assert done.stdout.strip().endswith(" 0")


def test_a_worker_does_not_outlive_its_driver(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, pathlib, signal, time
            from bench.sweep.executors.local import LocalExecutor
            def work(emit):
                emit(os.getpid())
                time.sleep(120)
            if __name__ == "__main__":
                LocalExecutor(1).submit(work, lambda pid: pathlib.Path("pid").write_text(str(pid)), timeout=300)
                while not pathlib.Path("pid").exists() or not pathlib.Path("pid").read_text():
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            """
        )
    )
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, timeout=60)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not alive(pid):
            return
        time.sleep(0.05)
    pytest.fail("the worker still runs five seconds after its driver died")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
