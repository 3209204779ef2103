import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import psutil
import pytest

from bench.hardware.process import is_running, this_process
from bench.results.frame import load
from bench.sweep.executors import Exit, Progress, WorkerError, local
from bench.sweep.executors.disk import HINT
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
    assert not executor._workers


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
        import sys
        if __name__ != "__main__":
            sys.exit(3)
        from bench.spec import ablation
        from bench.sweep import plan as planning
        from bench.sweep import driver as sweep
        from bench.sweep.executors import WorkerError
        from bench.sweep.executors.local import LocalExecutor
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
    (tmp_path / "go.py").write_text(textwrap.dedent(code))
    done = subprocess.run([sys.executable, "go.py"], cwd=tmp_path, text=True, capture_output=True)
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


# What is left of a job, and what its end says.


def leave_daemon(how, path, emit):
    """Starts a daemon that writes its number to a file, and ends in one of several ways."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            path.write_text(this_process())
            time.sleep(600)
        os._exit(0)
    while not (path.exists() and path.read_text()):
        time.sleep(0.01)
    if how == "hangs":
        time.sleep(600)
    if how == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a supervisor")
@pytest.mark.parametrize("how", ["ends", "hangs", "dies", "is killed"])
def test_a_daemon_that_a_job_started_ends_with_it(executor, tmp_path, how):
    path = tmp_path / "daemon"
    executor.submit(partial(leave_daemon, how, path), lambda item: None, timeout=2).result()
    assert not is_running(path.read_text())


def call_exit(emit):
    sys.exit(3)


CLOSED = "it had closed the file descriptor of its messages"


def close_everything(emit):
    os.closerange(3, 200)


FULL = "[Errno 28] No space left on device"


def fill_a_disk(emit):
    with open("/dev/full", "w") as file:
        file.write("x")


def kill_itself_by(number, emit):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("job", "end"),
    [
        (call_exit, Exit("failed: SystemExit: 3")),
        (close_everything, Exit(f"died: the process ended with exit status 98 before its work was done: {CLOSED}")),
        (partial(kill_itself_by, signal.SIGABRT), Exit("died: killed by SIGABRT")),
        (partial(kill_itself_by, signal.SIGFPE), Exit("died: killed by SIGFPE")),
        (
            partial(kill_itself_by, signal.SIGBUS),
            Exit("died: killed by SIGBUS (was /dev/shm or a disk full?)", "killed"),
        ),
        (partial(kill_itself_by, 40), Exit("died: killed by signal 40")),
        (partial(kill_itself_by, signal.SIGKILL), Exit("died: killed by SIGKILL (was it out of memory?)", "killed")),
        (partial(kill_itself_by, signal.SIGTERM), Exit("died: killed by SIGTERM", "outside")),
        (partial(kill_itself_by, signal.SIGHUP), Exit("died: killed by SIGHUP", "outside")),
        (partial(kill_itself_by, signal.SIGXCPU), Exit("died: killed by SIGXCPU", "outside")),
        (fill_a_disk, Exit(f"failed: a disk is full or faulty (OSError: {FULL}); {HINT}", "outside")),
    ],
    ids=lambda value: str(getattr(value, "error", "")),
)
def test_the_end_of_a_job_is_its_own_or_comes_from_outside(executor, job, end):
    assert executor.submit(job, lambda item: None, timeout=60).result() == end


class ForeignError(Exception):
    kind, fault = 7, ["odd"]

    def __str__(self):
        raise KeyError("no text")


def raise_a_foreign_error(emit):
    raise ForeignError


def test_an_error_without_a_text_and_with_attributes_of_its_own_is_described(executor):
    end = executor.submit(raise_a_foreign_error, lambda item: None, timeout=60).result()
    assert end == Exit("failed: ForeignError: its text cannot be shown (KeyError)")


def meet_a_fault(emit):
    raise OutsideError("the probe was ended by SIGKILL")


class OutsideError(RuntimeError):
    fault = "outside"


def test_an_error_can_say_that_something_outside_caused_it(executor):
    """As that of the probe of precision modes, whose own process was killed."""
    end = executor.submit(meet_a_fault, lambda item: None, timeout=60).result()
    assert end == Exit("failed: OutsideError: the probe was ended by SIGKILL", "outside")


def test_an_exit_status_of_255_is_not_taken_for_the_death_of_the_fork_server(executor):
    end = executor.submit(exit_with_255, lambda item: None, timeout=60).result()
    assert end == Exit("died: the process ended with exit status 255 before its work was done")


def exit_with_255(emit):
    os._exit(255)


def send_half_a_message(ending, emit):
    """Killed or stopped in the middle of a message: its length is sent, and no more."""
    pipe = emit.__closure__[0].cell_contents
    os.write(pipe.fileno(), (1000).to_bytes(4, "big") + b"x")
    os.kill(os.getpid(), ending)


def test_half_a_message_is_the_end_of_a_job_like_none(executor):
    end = executor.submit(partial(send_half_a_message, signal.SIGKILL), lambda item: None, timeout=60).result()
    assert end.fault == "killed"


def test_a_job_that_stops_in_the_middle_of_a_message_has_its_time_and_no_more(executor):
    end = executor.submit(partial(send_half_a_message, signal.SIGSTOP), lambda item: None, timeout=1).result()
    assert end == Exit("timeout: it sent half a message, and the rest not within 1 s")
    assert executor.submit(count, lambda item: None, timeout=60).result() == Exit()


def write_between_messages(content, emit):
    """As a network that writes to a file descriptor that it has closed before, and that is another file's now."""
    pipe = emit.__closure__[0].cell_contents
    pipe.send_bytes(content)
    time.sleep(600)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"no pickle", "UnpicklingError"), (pickle.dumps(7), "int"), (pickle.dumps((1, 2, 3)), "tuple")],
)
def test_what_no_job_sends_costs_that_job_only(executor, content, what):
    end = executor.submit(partial(write_between_messages, content), lambda item: None, timeout=600).result()
    reason = "it wrote to a file descriptor that is not its own"
    assert end == Exit(f"died: its messages cannot be read ({what}): {reason}")
    assert executor.submit(count, lambda item: None, timeout=60).result() == Exit()


def fork_and_go_on(how, emit):
    """Both copies of the process go on with the job; the new one is done first."""
    emit("before")
    child = os.fork()
    if child == 0 and how == "raises":
        raise ValueError("in the copy")
    if child == 0:
        emit("the copy")
    if child:
        os.waitpid(child, 0)
        emit("after")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("how", ["raises", "goes on"])
def test_a_copy_of_a_job_that_it_forked_sends_nothing(executor, how):
    items = []
    assert executor.submit(partial(fork_and_go_on, how), items.append, timeout=60).result() == Exit()
    assert items == ["before", "after"]


TEXTS = [
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B",
    "[enforce fail at alloc_cpu.cpp:73] . DefaultCPUAllocator: not enough memory: you tried to allocate 40000 bytes.",
    "CUDA error: out of memory",
    "CUDA out of memory. Tried to allocate 20.00 MiB",
    "MPS backend out of memory (MPS allocated: 5.44 GB, max allowed: 6.80 GB).",
    "XPU out of memory. Tried to allocate 1.00 GiB",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
    "[Errno 12] Cannot allocate memory",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_libraries_say_when_memory_is_short_counts_as_out_of_memory(text):
    assert described(RuntimeError(text)) == f"oom: {text}"
    assert described(OSError(text)) == f"oom: {text}"


def test_only_what_says_that_memory_was_short_counts_as_out_of_memory():
    assert described(RuntimeError("index out of memory bounds")) == "failed: RuntimeError: index out of memory bounds"
    assert described(ValueError("CUDA out of memory")) == "failed: ValueError: CUDA out of memory"


def test_an_error_that_was_caused_by_short_memory_is_one_and_a_circle_of_causes_ends():
    error = RuntimeError("the second stage failed")
    error.__cause__ = MemoryError()
    assert described(error) == "oom: the second stage failed"
    error.__cause__ = error
    assert described(error) == "failed: RuntimeError: the second stage failed"


def test_the_allocators_of_numpy_and_torch_are_recognised():
    import numpy as np  # here, since every job's process imports this module
    import torch

    with pytest.raises(MemoryError) as caught:
        np.empty(2**50)
    assert described(caught.value).startswith("oom: Unable to allocate 8.00 PiB")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert described(caught.value).startswith("oom: ")


def test_time_in_which_the_driver_was_suspended_does_not_count(monkeypatch):
    """Ctrl-Z for an hour, seen as a wait that takes so much longer than was asked for."""
    script = Script(monkeypatch, START, (50.0, "item", 1), END)
    waits, hour = script.wait, [3600.0]

    def wait(objects, left):
        ready = waits(objects, left)
        script.now += hour.pop() if not ready and hour else 0.0
        script.items[0] = (script.items[0][0] - (left or 0.0), *script.items[0][1:]) if not ready else script.items[0]
        return ready

    monkeypatch.setattr("multiprocessing.connection.wait", wait)
    assert _followed(script, script, lambda item: None, 60.0) == Exit(None)
    assert script.now == pytest.approx(3650.0)


# Where jobs cannot be run at all.


def test_a_script_without_a_main_guard_is_told_so(tmp_path, plugin):
    (tmp_path / "a.yaml").write_text("question: q\narchitecture: trivial\nmetrics: [twice]\nvary: {a: [1]}\n")
    (tmp_path / "script.py").write_text(f"import bench\nbench.run('a.yaml', plugins=[{plugin!r}])\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, text=True, capture_output=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        f"bench.sweep.executors.WorkerError: {tmp_path / 'script.py'}: measures when it is imported, and every worker"
        " process imports it",
        'put what it does below a line `if __name__ == "__main__":`',
    ]


def test_a_script_from_standard_input_is_told_so(tmp_path, plugin):
    (tmp_path / "a.yaml").write_text("question: q\narchitecture: trivial\nmetrics: [twice]\n")
    script = f"import bench\nif __name__ == '__main__':\n    bench.run('a.yaml', plugins=[{plugin!r}])\n"
    command = [sys.executable, "-"]
    done = subprocess.run(command, input=script, cwd=tmp_path, text=True, capture_output=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "a script from standard input cannot start worker processes: save it as a file and run that"
    )


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors of a shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_with_closed_standard_streams_measures(tmp_path, plugin, closed):
    (tmp_path / "a.yaml").write_text("question: q\narchitecture: trivial\nmetrics: [twice]\n")
    command = f"{sys.executable} -m bench.cli run a.yaml --no-report --plugin {plugin} --store s.sqlite {closed}"
    assert subprocess.run(command, shell=True, cwd=tmp_path, timeout=120, check=False).returncode == 0
    assert load(tmp_path / "s.sqlite")["value"].tolist() == [0]


def test_a_fork_server_that_cannot_start_ends_the_run(monkeypatch):
    """As where its imports end it; the pauses between the attempts are for one that was killed."""
    monkeypatch.setattr(local, "PAUSES", (0.0,) * 2)
    context, attempts = multiprocessing.get_context(), []

    class Process:
        def __init__(self, **options):
            pass

        def start(self):
            attempts.append(1)
            raise EOFError("unexpected EOF")

    monkeypatch.setattr(context, "Process", Process)
    with pytest.raises(WorkerError, match="no worker process can be started: unexpected EOF"):
        local._started(context, b"")
    assert len(attempts) == 3


LEFT = []


def trace(emit):
    """What the job finds of earlier jobs, its process, its supervisor."""
    emit((list(LEFT), os.getpid(), os.getppid()))
    LEFT.append("something")


def test_jobs_have_processes_of_their_own_below_one_supervisor(executor):
    results = []
    for job in (trace, trace, partial(kill_itself_by, signal.SIGKILL), trace):
        executor.submit(job, results.append, timeout=60).result()
    left, processes, supervisors = zip(*results, strict=True)
    assert left == ([], [], [])
    assert (len(set(processes)), len(set(supervisors))) == (3, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="without fork there are no supervisors")
def test_a_supervisor_that_was_killed_between_two_jobs_is_replaced(executor):
    results = []
    executor.submit(trace, results.append, timeout=60).result()
    supervisor = psutil.Process(results[0][2])
    supervisor.kill()
    supervisor.wait()
    assert executor.submit(trace, results.append, timeout=60).result().error is None
    assert results[1][2] != results[0][2]
