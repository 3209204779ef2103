"""A cluster without Ray: a process for each task, started in the folder that was sent, with the code that was sent."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = """
import pickle, sys
from bench.sweep.executors.node import perform
pipe, sys.stdout = sys.stdout.buffer, sys.stderr
for item in perform(*pickle.load(sys.stdin.buffer)):
    pickle.dump(item, pipe)
    pipe.flush()
pickle.dump(None, pipe)
"""
END, LOST = "end", "lost"


class RayError(Exception):
    pass


class exceptions:  # noqa: N801 - as in Ray
    RayError = RayError


class FakeRay:
    """`code` is the folder that was sent. `hung` are nodes that say nothing any more; `running` the processes.

    `notes` is a file that gets the number of the latest process.
    """

    exceptions = exceptions

    def __init__(self, code: Path, nodes: int = 1, resources: dict[str, float] | None = None) -> None:
        self.code, self.hung, self.running = code, set(), []
        self.resources = resources or {"CPU": 1.0, "fovbench_timing": 1.0}
        self.alive = [f"node{number}" for number in range(nodes)]
        self.started: list[str] = []
        self.notes: Path | None = None
        self.answers: Callable[[str], bool] = lambda node: node not in self.hung

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": name, "Alive": True, "NodeManagerHostname": name, "Resources": self.resources}
            for name in self.alive
        ]

    def remote(self, **options: Any) -> Any:
        return lambda function: Task(self, function.__name__, options)

    def wait(self, streams: list[Stream], timeout: float) -> tuple[list[Stream], list[Stream]]:
        return (streams, []) if streams[0].has_news(timeout) else ([], streams)

    def get(self, reference: Any, timeout: float) -> Any:
        if isinstance(reference, Exception):
            raise reference
        return reference

    def cancel(self, stream: Stream, force: bool) -> None:
        if not stream.is_silent:
            stream.process.kill()

    def shutdown(self) -> None:
        for process in self.running:
            process.kill()


class Task:
    def __init__(self, ray: FakeRay, name: str, options: dict[str, Any]) -> None:
        self.ray, self.name, self.given = ray, name, options

    def options(self, **more: Any) -> Task:
        return Task(self.ray, self.name, {**self.given, **more})

    def remote(self, *arguments: Any) -> Any:
        node = self.given["scheduling_strategy"]
        if self.name == "Pulse":
            return Actor(self.ray, node)
        self.ray.started.append(node)
        return Stream(self.ray, node, arguments)


class Actor:
    """A process of a node that answers, unless the node hangs; `actor.answer.remote()` as in Ray."""

    def __init__(self, ray: FakeRay, node: str) -> None:
        self.ray, self.node, self.answer = ray, node, self

    def remote(self) -> Any:
        return True if self.ray.answers(self.node) else RayError("no answer")


class Stream:
    """What a task gives, as it comes."""

    def __init__(self, ray: FakeRay, node: str, arguments: tuple[Any, ...]) -> None:
        self.news: queue.Queue[Any] = queue.Queue()
        self.first: Any = None
        self.is_silent = node in ray.hung
        if self.is_silent:
            return
        path = os.pathsep.join([str(ray.code), *sys.path[1:]])
        environment = {**os.environ, "PYTHONPATH": path, "TEST_NODE": node}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-P", "-c", SCRIPT], cwd=ray.code, env=environment, **pipes)
        ray.running.append(self.process)
        if ray.notes is not None:
            ray.notes.write_text(str(self.process.pid))
        pickle.dump(arguments, self.process.stdin)
        self.process.stdin.close()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while (item := pickle.load(self.process.stdout)) is not None:
                self.news.put(item)
            self.news.put(END)
        except (EOFError, pickle.UnpicklingError):
            self.news.put(LOST)
        finally:
            self.process.stdout.close()
            self.process.wait()

    def has_news(self, timeout: float) -> bool:
        if self.first is None:
            try:
                self.first = self.news.get(timeout=0 if self.is_silent else timeout)
            except queue.Empty:
                return False
        return True

    def __next__(self) -> Any:
        item, self.first = self.first, None
        if item == END:
            raise StopIteration
        return RayError("the process was lost") if item == LOST else item
