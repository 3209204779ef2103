"""Processes of two sides that take turns: the raw times of a paired comparison.

A group is four new processes, two of each side, alive at once and pinned to the same core. They take turns in an order
that is turned round every time (A B B A), so that a drift hits both sides alike. Every process draws its memory layout
anew before each turn. Each side may have code of its own: another project folder, another root of our packages.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any, Protocol

from bench.hardware.environment import device_kind
from bench.results.turns import TIMED, Group, SideError, Turn
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.roots import LIMIT, Remote, SilenceError, is_ours, move

TURNS = 16
"""Turns of each process in a group, of a metric that is timed call by call; another is measured once a process."""

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
    timeout: float = LIMIT

    @property
    def turns(self) -> int:
        """How many turns each process of a group takes."""
        return TURNS if self.metric in TIMED else 1

    @property
    def anew(self) -> bool:
        """Whether each process imports our packages anew: both sides alike, where one has them from another root."""
        return not (is_ours(self.a.root) and is_ours(self.b.root))

    def groups(self) -> Iterator[Group]:
        """Groups without end, on other cores in turn. Raises SideError for a side that does not run."""
        for cores in cycle(core_sets(self.a.workload)):
            yield self._group(cores)

    def _group(self, cores: tuple[int, ...]) -> Group:
        with contextlib.ExitStack() as stack:
            sides = (self.a, self.a, self.b, self.b)
            remotes = [
                stack.enter_context(Remote(serve, side, self.metric, cores, self.anew, daemon=True)) for side in sides
            ]
            processes = [_Process(r, side.label, self.timeout) for r, side in zip(remotes, sides, strict=True)]
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
    """A process of one side."""

    def __init__(self, remote: Remote, label: str, timeout: float) -> None:
        self._remote, self._label, self._timeout = remote, label, timeout

    def ready(self) -> None:
        """Wait until the network is built and warm. Raises SideError."""
        self._answer()

    def turn(self) -> Turn:
        """One turn. Raises SideError."""
        with contextlib.suppress(OSError):  # a process that died says with which status when it is asked for an answer
            self._remote.pipe.send(None)
        turn: Turn = self._answer()
        return turn

    def _answer(self) -> Any:
        try:
            tag, answer = self._remote.receive(self._timeout)
        except SilenceError as error:
            raise SideError(self._label, f"{error}: it hangs, or a call takes longer; --budget says how long") from None
        except EOFError as error:
            raise SideError(self._label, str(error)) from None
        if tag == "failed":
            raise SideError(self._label, answer)
        return answer


def serve(pipe: Connection, side: Side, metric: str, cores: Sequence[int], anew: bool) -> None:
    """What a process of one side does: build the network, then a turn whenever it is asked, until the pipe ends."""
    try:
        move(side.folder, side.root, anew)
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
