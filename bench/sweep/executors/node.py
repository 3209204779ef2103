"""What a node of a cluster runs: one job after another, each in a process of its own, as on a machine alone."""

from __future__ import annotations

import functools
import os
import pickle
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.hardware.environment import device_facts
from bench.registry.versions import library_version
from bench.sweep.executors import Exit, Lane, WorkerError
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.executors.shipping import PROJECT, other_code, relocated
from bench.sweep.watched import Watched

BEAT = 5.0
"""Seconds after which a node says that it lives, while its job has no news."""


@dataclass(frozen=True)
class Beat:
    """The node lives, and its job has no news."""


@dataclass(frozen=True)
class Refused:
    """The node does not run the job, since its code, libraries or device are not those that the keys name.

    `device` says that the device alone is another one, so that another node may run it.
    """

    reason: str
    device: bool = False


@dataclass(frozen=True)
class Order:
    """A job on its way to a node; `roots` are those of the shipment, with places below the folder that was sent."""

    watched: Watched
    roots: tuple[tuple[str, str], ...]
    current: str
    preload: tuple[str, ...]
    timeout: float
    device: str
    lane: Lane


class Pulse:
    """A process of a node that is asked whether the node lives; it is there already when the question comes."""

    def answer(self) -> bool:
        return True


@dataclass(frozen=True)
class _Raised:
    """What ends a task of Ray with an error: none of the job's own."""

    error: BaseException


def perform(content: bytes, folder: str | None = None, beat: float = BEAT) -> Iterator[bytes]:
    """Run a job; gives what it emits as it comes, then how it ended. `folder` is the one that was sent.

    The node says every `beat` seconds that it lives, also while it imports what the job needs.
    """
    yield pickle.dumps(Beat())
    news: queue.SimpleQueue[Any] = queue.SimpleQueue()
    here = os.path.realpath(folder or os.environ.get("FOVBENCH_SENT") or os.getcwd())
    threading.Thread(target=_work, args=(content, here, news.put), daemon=True).start()
    while True:
        try:
            item = news.get(timeout=beat)
        except queue.Empty:
            item = Beat()
        if isinstance(item, _Raised):
            raise item.error
        yield pickle.dumps(item)
        if isinstance(item, (Exit, Refused)):
            return


def _work(content: bytes, here: str, put: Callable[[Any], None]) -> None:
    """Put what the job emits, then how it ended: an Exit, a refusal, or what was raised."""
    try:
        order: Order = pickle.loads(content)
        roots = tuple((source, os.path.normpath(os.path.join(here, place))) for source, place in order.roots)
        watched = relocated(order.watched, roots)
        _enter(here, order)
        put(_refusal(watched, order) or _end(watched, order, put))
    except BaseException as error:
        put(_Raised(error))


def _enter(here: str, order: Order) -> None:
    """Work in the place of the driver's current folder; modules of the project can be imported, as there."""
    os.environ["FOVBENCH_SENT"] = here
    os.makedirs(os.path.join(here, order.current), exist_ok=True)
    os.chdir(os.path.join(here, order.current))
    for folder in (here, os.path.join(here, PROJECT)):
        if folder not in sys.path:
            sys.path.append(folder)


def _refusal(watched: Watched, order: Order) -> Refused | None:
    """Why this node must not run the job: its result would not be that of the keys."""
    name = socket.gethostname()
    if path := other_code(watched):
        return Refused(f"{os.path.basename(path)} on the node {name} is not the file that the keys name")
    for request in watched.job.requests:
        for library, version in _versions(request.parts).items():
            if (here := _version(library)) != version:
                return Refused(f"the node {name} has {library} {here or 'not installed'}, the driver {version}")
        if machine := _other_machine(request.parts.get("machine"), order.device):
            return Refused(f"the node {name} is another machine than the keys name ({machine})", device=True)
    return None


def _versions(parts: Mapping[str, Any]) -> Mapping[str, str]:
    versions = parts.get("libraries", {})
    return versions if isinstance(versions, Mapping) else dict(versions)


def _version(library: str) -> str | None:
    """The version of a library here, as keys name it; of Python its first two numbers."""
    return ".".join(map(str, sys.version_info[:2])) if library == "python" else library_version(library)


def _other_machine(named: Mapping[str, str] | None, device: str) -> str:
    """What is different about a machine whose times a key has; empty for the same one, and for other numbers."""
    if named is None:
        return ""
    try:
        facts = device_facts(device)
    except ValueError as error:
        return str(error)
    other = (f"{name}: {value}, not {named[name]}" for name, value in facts.items() if named.get(name) != value)
    return next(other, "")


def _end(watched: Watched, order: Order, put: Callable[[Any], None]) -> Exit:
    """How the job ended, once all that it emitted was put."""
    how: Any = {"timeout": order.timeout, "device": order.device, "lane": order.lane}
    try:
        return _executor(order.preload).submit(watched, put, **how).result()
    except WorkerError as error:
        return Exit(f"died: the node {socket.gethostname()} cannot run jobs ({error})", "outside")


@functools.cache
def _executor(preload: Sequence[str]) -> LocalExecutor:
    """One for each process of the cluster's; its main module is not ours, and jobs must not import it."""
    main = sys.modules["__main__"]
    if main.__spec__ is None:
        main.__file__ = None
    return LocalExecutor(1, preload)
