"""A process of pytest that the gate started: it lists benchmark functions, or takes turns with one of them."""

from __future__ import annotations

import ast
import hashlib
import inspect
import math
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

FORBIDDEN = "FOVBENCH_BENCHMARK_FORBIDDEN"
"""Environment variable: the folder that no module may come from, since it has the code of the other side."""

LISTS = "FOVBENCH_BENCHMARK_LISTS"
"""Environment variable: set in a process that only lists."""

SECONDS, SAMPLES = 0.04, 60
"""A turn ends after so many seconds of calls, or so many samples."""

LEAST = 1e-3
"""Seconds of a sample: shorter functions are called several times for each."""

WARMUP = 3

Call = Callable[[], object]


class Side:
    """The plug-in of such a process."""

    def __init__(self, descriptor: int) -> None:
        from pytest_benchmark.fixture import BenchmarkFixture

        self._pipe = Connection(descriptor)
        self._lists = bool(os.environ.get(LISTS))
        if not self._lists:
            serve, fixture = self._serve, BenchmarkFixture
            fixture.__call__ = lambda _, f, *a, **k: serve(lambda: lambda: f(*a, **k))  # type: ignore[method-assign]
            fixture.pedantic = lambda _, target, **k: serve(*pedantic(target, **k))  # type: ignore[method-assign]

    def pytest_collection_finish(self, session: Any) -> None:
        if self._lists:
            self._send("listed", listed(session.items))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if not self._lists and not report.passed:
            last = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr).strip()
            self._send("failed", f"{report.outcome}: {_error_line(last)}")

    def _serve(self, prepare: Callable[[], Call], finish: Call = lambda: None, repeats: bool = True) -> object:
        """Turns whenever one is asked for; then what the function returns."""
        for _ in range(WARMUP):
            sample(prepare, finish, 1)
        if wrong := from_the_other_side(os.environ.get(FORBIDDEN, "")):
            raise ImportError(f"{wrong} of the working tree was imported; install the project so that paths decide")
        loops = max(1, math.ceil(LEAST / max(sample(prepare, finish, 1)[0], 1e-9))) if repeats else 1
        self._send("ready", None)
        with suppress(EOFError, OSError):
            while True:
                self._pipe.recv()
                self._send("turn", turn(prepare, finish, loops))
        return prepare()()

    def _send(self, tag: str, content: object) -> None:
        with suppress(OSError):
            self._pipe.send((tag, content))


def pedantic(
    target: Callable[..., object],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    setup: Callable[..., Any] | None = None,
    teardown: Callable[..., object] | None = None,
    **_: Any,
) -> tuple[Callable[[], Call], Call, bool]:
    """What `benchmark.pedantic` says: how a call is prepared, what follows it, and whether it may be repeated."""
    inputs: list[tuple[Sequence[Any], Mapping[str, Any]]] = [(args, kwargs or {})]

    def prepare() -> Call:
        if setup is not None and (made := setup()):
            inputs[0] = made
        positional, named = inputs[0]
        return lambda: target(*positional, **named)

    def finish() -> object:
        return teardown(*inputs[0][0], **inputs[0][1]) if teardown is not None else None

    return prepare, finish, setup is None and teardown is None


def turn(prepare: Callable[[], Call], finish: Call, loops: int) -> dict[str, tuple[float, ...]]:
    """Seconds of a call, elapsed and on the CPU, in each sample of one turn."""
    samples = [sample(prepare, finish, loops)]
    while len(samples) < SAMPLES and sum(elapsed for elapsed, _ in samples) * loops < SECONDS:
        samples.append(sample(prepare, finish, loops))
    elapsed, cpu = zip(*samples, strict=True)
    return {"elapsed": elapsed, "cpu": cpu}


def sample(prepare: Callable[[], Call], finish: Call, loops: int) -> tuple[float, float]:
    """(elapsed seconds, seconds of the CPU) of a call, once a GPU has finished; preparation is not timed."""
    call = prepare()
    synchronise()
    cpu, start = time.process_time(), time.perf_counter()
    for _ in range(loops):
        call()
    synchronise()
    times = max(time.perf_counter() - start, 1e-9) / loops, (time.process_time() - cpu) / loops
    finish()
    return times


def synchronise() -> None:
    """Wait for the GPU, if this process uses one through torch."""
    if uses_gpu():
        sys.modules["torch"].cuda.synchronize()


def uses_gpu() -> bool:
    """Whether this process has used a GPU through torch."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def listed(items: Sequence[Any]) -> dict[str, str]:
    """Node id of each benchmark -> a digest of its file, parameters and source without its name."""
    return {item.nodeid: _digest(item) for item in items if "benchmark" in getattr(item, "fixturenames", ())}


def _digest(item: Any) -> str:
    """Equal for a benchmark that has only another name."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(item.function)))
    except (OSError, TypeError, SyntaxError):
        return ""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.name = ""
    parameters = getattr(getattr(item, "callspec", None), "id", "")
    return hashlib.sha256(f"{item.nodeid.split('::')[0]}\n{parameters}\n{ast.dump(tree)}".encode()).hexdigest()


def from_the_other_side(folder: str) -> str:
    """A module that was imported from this folder, installed packages left out; empty where there is none."""
    return next(_modules_below(Path(folder)), "") if folder else ""


def _modules_below(folder: Path) -> Iterator[str]:
    for module in list(sys.modules.values()):
        file = Path(getattr(module, "__file__", None) or "")
        if file.is_relative_to(folder) and not {"site-packages", "dist-packages"} & set(file.parts):
            yield str(file.relative_to(folder))


def _error_line(text: str) -> str:
    """The line of a traceback of pytest that has the error."""
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return lines[0] if lines else (text.splitlines() or [""])[-1]
