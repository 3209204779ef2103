"""Processes of two sides that take turns: the raw times of a paired comparison.

A group is four new processes, two of each side, alive at once and pinned to the same core. They take turns in an order
that is turned round every time (A B B A), so that a drift hits both sides alike. Every process draws its memory layout
anew before each turn. Each side may have code of its own: another project folder, another root of our packages.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any, Protocol

from bench.hardware.environment import device_kind
from bench.results.turns import TIMED, Group, SideError, Turn
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.roots import context, move, start

TURNS = 16
"""Turns of each process in a group, of a metric that is timed call by call; another is measured once a process."""

TIMEOUT = 600.0
"""Seconds after which a process that does not answer has hung."""

ORDERS = ((0, 2, 3, 1), (1, 3, 2, 0), (2, 0, 1, 3), (3, 1, 0, 2))
"""Turns of one round, of the processes A, A', B, B': each is as often early as late, each side first as often."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: a network, what it is measured on, and where its code lies.

    `folder` is the folder that the process works in, so that the project of that folder counts; `root` the folder that
    has the packages `bench` and `architectures`. Empty: those of this process.
    """

    label: str
    variant: Variant
    workload: Workload
    plugins: tuple[str, ...] = ()
    folder: str = ""
    root: str = ""


@dataclass(frozen=True)
class Pair:
    """Two sides and the metric that they are compared by."""

    a: Side
    b: Side
    metric: str = "latency"
    timeout: float = TIMEOUT

    @property
    def turns(self) -> int:
        """How many turns each process of a group takes."""
        return TURNS if self.metric in TIMED else 1

    def groups(self) -> Iterator[Group]:
        """Groups without end, on other cores in turn. Raises SideError for a side that does not run."""
        started = context()
        for cores in cycle(core_sets(self.a.workload)):
            yield self._group(started, cores)

    def _group(self, started: Any, cores: tuple[int, ...]) -> Group:
        with contextlib.ExitStack() as stack:
            sides = (self.a, self.a, self.b, self.b)
            processes = [stack.enter_context(_Process(started, side, self, cores)) for side in sides]
            return group_of(processes, self.turns, cores)


class TakesTurns(Protocol):
    """A process of one side."""

    def ready(self) -> None: ...
    def turn(self) -> Turn: ...


def group_of(processes: Sequence[TakesTurns], number: int, cores: tuple[int, ...] = ()) -> Group:
    """So many turns of each of the processes A, A', B, B'. Raises SideError."""
    for process in processes:
        process.ready()
    orders = [ORDERS[each % len(ORDERS)] for each in range(number)]
    rounds = [{place: processes[place].turn() for place in order} for order in orders]
    series = [tuple(turns[place] for turns in rounds) for place in range(len(processes))]
    seconds = sum(sum(turn.elapsed) for turns in series for turn in turns)
    return Group(((series[0], series[1]), (series[2], series[3])), seconds, cores)


def core_sets(work: Workload) -> list[tuple[int, ...]]:
    """The cores that groups are pinned to, in turn: as many as the workload has threads; none on a device."""
    if device_kind(work.device) != "cpu" or not hasattr(os, "sched_getaffinity"):
        return [()]
    allowed = sorted(os.sched_getaffinity(0), reverse=True)
    sets = [tuple(allowed[start : start + work.threads]) for start in range(0, len(allowed), work.threads)]
    return [cores for cores in sets if len(cores) == work.threads] or [()]


class _Process:
    """A process of one side; ended when the group ends."""

    def __init__(self, started: Any, side: Side, pair: Pair, cores: tuple[int, ...]) -> None:
        self._side, self._timeout = side, pair.timeout
        self._pipe, theirs = started.Pipe()
        self._process = started.Process(target=serve, args=(theirs, side, pair.metric, cores), daemon=True)
        start(self._process)
        theirs.close()

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def ready(self) -> None:
        """Wait until the network is built and warm. Raises SideError."""
        self._answer()

    def turn(self) -> Turn:
        """One turn. Raises SideError."""
        self._pipe.send(None)
        turn: Turn = self._answer()
        return turn

    def _answer(self) -> Any:
        if not self._pipe.poll(self._timeout):
            raise SideError(self._side.label, f"no answer within {self._timeout:g} s")
        try:
            tag, answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5.0)
            raise SideError(self._side.label, f"its process died with status {self._process.exitcode}") from None
        if tag == "failed":
            raise SideError(self._side.label, answer)
        return answer


def serve(pipe: Connection, side: Side, metric: str, cores: Sequence[int]) -> None:
    """What a process of one side does: build the network, then a turn whenever it is asked, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    os.dup2(2, 1)
    try:
        move(side.folder, side.root)
        from bench.sweep.side_process import prepared  # from the root of the side

        turn: Callable[[], dict[str, Any]] = prepared(side.variant, side.workload, side.plugins, metric, tuple(cores))
        pipe.send(("ready", None))
        while True:
            pipe.recv()
            pipe.send(("turn", Turn(**turn())))
    except (EOFError, BrokenPipeError):
        return
    except BaseException as error:  # sys.exit and what else a network may raise
        with contextlib.suppress(OSError):
            pipe.send(("failed", _described(error)))


def _described(error: BaseException) -> str:
    from bench.sweep.executors.local import described

    return described(error)
