"""Jobs on the nodes of a Ray cluster (extra `ray`): one that is started for the run, or one that is there.

Each job is a task of Ray on a node that the driver chooses; what it emits comes back as it is made. Nothing is retried
by Ray: a job whose node or process was lost goes back to the driver of the run, which measures again what is missing,
a limited number of times. A node that is silent is noticed by deadlines of our own.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import secrets
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.hardware.ending import end_at_once
from bench.hardware.environment import device_kind, usable_cores
from bench.sweep.executors import Emit, Exit, Job, Lane, WorkerError
from bench.sweep.executors.disk import HINT
from bench.sweep.executors.node import BEAT, Beat, Order, Pulse, Refused, perform
from bench.sweep.executors.resting import Resting
from bench.sweep.executors.shipping import Shipment, resolved

START = "ray"
"""The address that stands for a cluster that is started for the run."""

TIMING = "fovbench_timing"
"""The resource of the exclusive lane: a node has one, and a timing takes it."""

STORE_BYTES = 80_000_000
"""Memory of Ray's object store on the cluster that is started: results are small, and are stored by the driver."""

ATTEMPTS = 3
"""So often a cluster is started at most: Ray gives up on a node that has not registered after 30 s."""

LONGEST_FOLDER = 32
"""Characters of the folder for Ray's files at most: the path of a socket, with Ray's names below it, has 107."""

LOOPBACK = ("127.0.0.1", "localhost")
OWN = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else it listens on all interfaces
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_agent_register_timeout_ms": "180000",
    "RAY_gcs_server_port_wait_time_s": "180",
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_worker_register_timeout_seconds": "180",
}
"""Settings of Ray for a cluster on this machine alone: loopback, nothing reported, patience on a loaded machine."""


@dataclass(frozen=True)
class Patience:
    """Seconds: a node says every `beat` that it lives; one that was silent for `silence` and then does not answer a
    question within `answer` is lost. Where the question or the job has to start a process first, which takes long on a
    loaded machine, it has `start` for it."""

    beat: float = BEAT
    silence: float = 30.0
    answer: float = 30.0
    start: float = 180.0


class RayExecutor:
    """Jobs on a cluster; at most `workers` at once. `address`: START, or HOST:PORT of a head node.

    Raises WorkerError where Ray is not installed, or no cluster answers.
    """

    def __init__(
        self,
        address: str,
        workers: int | None,
        sent: Shipment,
        preload: Sequence[str] = (),
        threads: int = 1,
        patience: Patience = Patience(),
    ) -> None:
        self._sent, self._preload, self._threads, self._patience = sent, tuple(preload), threads, patience
        self._folder = _new_folder()
        self._lock = threading.Lock()
        self._load: Counter[str] = Counter()
        self._lost: dict[str, str] = {}
        self._resting = Resting()
        self._foreign: set[str] = set()
        self._pulses: dict[str, Any] = {}
        self._answered: set[str] = set()
        self._stopped, self._headless = threading.Event(), threading.Event()
        before = set(threading.enumerate())
        try:
            self._ray = _connected(address, self._folder, _written(sent, self._folder), workers, threads)
            self.workers = workers or self._slots(threads)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._stdout = sys.stdout
        sys.stdout = _Sorted(sys.stdout, set(threading.enumerate()) - before)
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="cluster")
        self._task = self._ray.remote(num_returns="streaming", max_retries=0)(perform)

    def submit(
        self, job: Job, receive: Emit, *, timeout: float, device: str = "cpu", lane: Lane = "shared"
    ) -> Future[Exit]:
        return self._pool.submit(self._follow, job, receive, timeout, device, lane)

    def stop(self) -> None:
        self._stopped.set()
        with contextlib.redirect_stdout(sys.stderr):  # Ray prints what it had not printed yet
            self._leave()
        sys.stdout = self._stdout
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _leave(self) -> None:
        """Leave the cluster. Where its head is silent Ray would wait for it, also when this process ends."""
        leaving = threading.Thread(target=self._ray.shutdown, daemon=True)
        if not self._headless.is_set():
            leaving.start()
            leaving.join(self._patience.silence + self._patience.answer)
            if leaving.is_alive():
                end_at_once()

    def _slots(self, threads: int) -> int:
        """How many jobs of so many threads the CPUs of the cluster serve at once."""
        return max(1, sum(int(node["Resources"].get("CPU", 0)) // threads for node in self._alive()))

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self._from_head(self._ray.nodes) if node["Alive"]]

    def _from_head(self, question: Callable[[], Any]) -> Any:
        """The answer of the head, which Ray would wait for as long as the network is gone. Raises WorkerError."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_answer, args=(question, answers.put), daemon=True).start()
        patience = self._patience.silence + self._patience.answer
        try:
            answer = answers.get(timeout=patience)
        except queue.Empty:
            answer = TimeoutError(f"it was silent for {patience:.0f} s")
        if isinstance(answer, Exception):
            self._headless.set()
            end_at_once()
            raise WorkerError(
                f"the head of the cluster does not answer ({_first_line(answer)})\n"
                "what was measured is stored: run the same command again when the head can be reached"
            )
        return answer

    def _follow(self, job: Any, receive: Emit, timeout: float, device: str, lane: Lane) -> Exit:
        """Run a job on a node; where the node is another machine than a timing names, on the next one."""
        sent = self._sent
        order = Order(resolved(job), sent.roots, sent.current, self._preload, timeout, device, lane)
        content = pickle.dumps(order)
        while not self._stopped.is_set():
            node = self._chosen(device, lane)
            try:
                end = self._run(node, content, receive, device, lane)
            finally:
                with self._lock:
                    self._load[node["NodeID"]] -= 1
            if isinstance(end, Exit):
                self._note(node, end)
                return end
            if not end.device:
                raise WorkerError(f"{end.reason}\nnothing is stored of what it measured; run on nodes that are alike")
            alive = {each["NodeID"] for each in self._alive()}
            with self._lock:
                self._foreign.add(node["NodeID"])
                if not alive - self._foreign - self._lost.keys():
                    raise WorkerError(f"{end.reason}\nstart the run on a machine like those that shall be timed")
        return Exit("stopped: the run was ended")

    def _note(self, node: dict[str, Any], end: Exit) -> None:
        """How a job ended on a node: one that ends jobs itself rests, as long as others can have them."""
        with self._lock:
            (self._resting.fault if end.fault else self._resting.success)(node["NodeID"])

    def _chosen(self, device: str, lane: Lane) -> dict[str, Any]:
        """A node that can run this job; one that was lost, where it answers again. Raises WorkerError for none."""
        needs = self._needs(device, lane)
        node = self._free(needs, lane) or (self._free(needs, lane) if self._found_again() else None)
        if node is None:
            raise WorkerError(self._nobody(needs))
        return node

    def _free(self, needs: dict[str, float], lane: Lane) -> dict[str, Any] | None:
        """The node with the fewest jobs for its cores, of those that can run such a job; one that rests as the last."""
        alive = self._alive()
        with self._lock:
            nodes = [node for node in alive if node["NodeID"] not in self._lost]
            fitting = [n for n in nodes if all(n["Resources"].get(name, 0) >= number for name, number in needs.items())]
            if lane == "exclusive":
                fitting = [node for node in fitting if node["NodeID"] not in self._foreign]
            if not fitting:
                return None
            node = min(fitting, key=lambda n: (n["NodeID"] in self._resting, self._jobs_for_a_core(n)))
            self._load[node["NodeID"]] += 1
            return node

    def _jobs_for_a_core(self, node: dict[str, Any]) -> float:
        return self._load[node["NodeID"]] / max(1.0, float(node["Resources"].get("CPU", 1.0)))

    def _found_again(self) -> bool:
        """Whether a node that was lost is there still and answers: it was too busy, or the network is back."""
        back = [node["NodeID"] for node in self._alive() if node["NodeID"] in self._lost and self._answers(node, True)]
        with self._lock:
            for each in back:
                self._lost.pop(each, None)
        return bool(back)

    def _nobody(self, needs: dict[str, float]) -> str:
        lost = "".join(f"; {each}" for each in self._lost.values())
        wanted = ", ".join(f"{name} {number:g}" for name, number in needs.items())
        hint = f"; start nodes with --resources='{{\"{TIMING}\": 1}}'" if TIMING in needs else ""
        return f"no node of the cluster has {wanted}{lost}{hint}"

    def _needs(self, device: str, lane: Lane) -> dict[str, float]:
        """What a job takes of a node, as Ray counts it."""
        needs = {"CPU": float(self._threads)}
        if device_kind(device) != "cpu":
            needs["GPU"] = 1.0
        if lane == "exclusive":
            needs[TIMING] = 1.0
        return needs

    def _run(self, node: dict[str, Any], content: bytes, receive: Emit, device: str, lane: Lane) -> Exit | Refused:
        """One task of Ray, until it ends or its node is lost."""
        needs = self._needs(device, lane)
        more = {TIMING: needs[TIMING]} if TIMING in needs else {}
        task = self._task.options(
            num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), resources=more, scheduling_strategy=_on(node)
        )
        stream = task.remote(content, None, self._patience.beat)
        try:
            for item in self._items(stream, node):
                if isinstance(item, (Exit, Refused)):
                    return item
                if not isinstance(item, Beat):
                    receive(item)
        except self._ray.exceptions.RayError as error:
            return Exit(f"died: the node {_name(node)} or its process was lost ({_first_line(error)})", "outside")
        return Exit(f"died: the node {_name(node)} ended the job without a result", "outside")

    def _items(self, stream: Any, node: dict[str, Any]) -> Iterator[Any]:
        """What the task yields. Ends with an Exit where the node does not answer any more."""
        started = False
        while True:
            ready, _ = self._ray.wait([stream], timeout=self._patience.silence)
            if self._stopped.is_set():
                yield Exit("stopped: the run was ended")
                return
            if not ready and not self._still_runs(node, started):
                self._ray.cancel(stream, force=True)  # else it would keep the node's resources from the next job
                yield Exit(f"died: {self._lost.get(node['NodeID']) or f'a process of {_name(node)} hangs'}", "outside")
                return
            if ready:
                try:
                    content = self._ray.get(next(stream), timeout=self._patience.silence + self._patience.answer)
                except StopIteration:
                    return
                started = True
                yield pickle.loads(content)

    def _still_runs(self, node: dict[str, Any], started: bool) -> bool:
        """Whether a task that is silent may still run: it has not started, and its node answers."""
        if self._answers(node, started):
            return not started
        waited = self._patience.silence + self._patience_with(node, started)
        with self._lock:
            self._lost[node["NodeID"]] = f"the node {_name(node)} was silent for {waited:.0f} s"
        return False

    def _answers(self, node: dict[str, Any], started: bool) -> bool:
        """Whether a node answers in time; `started` says that a process of it has spoken before."""
        name, patience = node["NodeID"], self._patience_with(node, started)
        with self._lock:
            if name not in self._pulses:
                pulse = self._ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Pulse)
                self._pulses[name] = pulse.options(scheduling_strategy=_on(node)).remote()
        try:
            self._ray.get(self._pulses[name].answer.remote(), timeout=patience)
        except self._ray.exceptions.RayError:
            return False
        self._answered.add(name)
        return True

    def _patience_with(self, node: dict[str, Any], started: bool) -> float:
        """The seconds that a node has for an answer."""
        return self._patience.answer if started or node["NodeID"] in self._answered else self._patience.start


def _answer(question: Callable[[], Any], put: Callable[[Any], None]) -> None:
    """Put the answer to a question, or the error that it raises."""
    try:
        put(question())
    except Exception as error:  # of Ray, or of the library that it connects by
        put(error)


def _new_folder() -> str:
    """A new folder for Ray's files. Raises WorkerError."""
    try:
        return tempfile.mkdtemp(prefix="fv", dir=_short_folder())
    except OSError as error:
        raise WorkerError(f"Ray needs a folder for its files ({error}); {HINT}") from None


def _written(sent: Shipment, folder: str) -> Path:
    """The folder with what is sent to the nodes. Raises WorkerError where it cannot be written."""
    try:
        return sent.write(Path(folder) / "code")
    except OSError as error:
        raise WorkerError(f"the code for the nodes cannot be written ({error}); {HINT}") from None


def _short_folder() -> str:
    """Where Ray's files go: the folder for temporary files, unless its path is too long for a socket."""
    usual = tempfile.gettempdir()
    others = [each for each in ("/tmp", "/var/tmp") if os.access(each, os.W_OK)]
    return min([usual, *others], key=len) if len(usual) > LONGEST_FOLDER else usual


class _Sorted:
    """Standard output, in which what some threads write goes to standard error.

    Ray prints what happens to a cluster (`A worker died`) into the standard output of the driver, whose lines are a
    table or JSON; no option of Ray turns that off.
    """

    def __init__(self, stream: Any, threads: set[threading.Thread]) -> None:
        self._stream, self._threads = stream, threads

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr if threading.current_thread() in self._threads else self._stream, name)


def _on(node: dict[str, Any]) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)


def _name(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeID'][:8]})"


def _first_line(error: BaseException) -> str:
    """An error in one line; of one that a task raised, what it was."""
    error = getattr(error, "cause", None) or error
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _connected(address: str, folder: str, code: Path, workers: int | None, threads: int) -> Any:
    """Ray, connected to a cluster. Raises WorkerError."""
    on_loopback = address == START or address.rpartition(":")[0] in LOOPBACK
    if on_loopback:
        os.environ.update({name: value for name, value in OWN.items() if name not in os.environ})
    if address == START:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        if os.environ["RAY_AUTH_MODE"] == "token":
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError as error:
        raise WorkerError(f"--on {address} needs Ray ({error}); pip install fovbench[ray]") from None
    environment = {"working_dir": str(code), "env_vars": {"PYTHONSAFEPATH": ""}}
    shared = {"runtime_env": environment, "log_to_driver": False, "logging_level": "ERROR"}
    if address == START:
        _start_own(ray, {**shared, **_own_cluster(folder, workers, threads)})
        return ray
    try:
        ray.init(address=address, **shared)
    except Exception as error:
        raise WorkerError(f"no cluster answers at {address} ({_first_line(error)})") from error
    return ray


def _start_own(ray: Any, options: dict[str, Any]) -> None:
    """Start a cluster, again where Ray gave up on it: it waits for a node for 30 s. Raises WorkerError."""
    for left in reversed(range(ATTEMPTS)):
        try:
            ray.init(**options)
            return
        except Exception as error:
            ray.shutdown()
            if not left:
                raise WorkerError(f"no cluster can be started ({_first_line(error)})") from error


def _own_cluster(folder: str, workers: int | None, threads: int) -> dict[str, Any]:
    """A cluster of one node on loopback, without dashboard, that ends with this process."""
    return {
        "address": "local",
        "num_cpus": workers * threads if workers else usable_cores(),
        "resources": {TIMING: 1},
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": folder,
    }
