"""What a paired comparison measures: turns of processes of two sides, and groups of four processes."""

from __future__ import annotations

from dataclasses import dataclass

TIMED = ("latency", "throughput", "train_step_latency", "startup")
"""Metrics that a paired comparison times call by call, in seconds; of others a turn is one measurement."""


WHOLE = ""
"""The name, among those of variants, of what stands for all of an ablation that cannot be read."""


class SideError(RuntimeError):
    """A side that cannot be built or run. `side` is its label, `reason` the error of the network."""

    def __init__(self, side: str, reason: str) -> None:
        super().__init__(f"{side}: {reason}")
        self.side, self.reason = side, reason


@dataclass(frozen=True)
class Turn:
    """What one turn of a process gave: seconds of its calls, without those that another process disturbed.

    `disturbed` says that no call was undisturbed, and that all are given; `trouble` what disturbed the device. Of a
    metric that is no timed call `elapsed` and `cpu` are its values, in its unit.
    """

    elapsed: tuple[float, ...]
    cpu: tuple[float, ...]
    disturbed: bool = False
    trouble: str = ""


@dataclass(frozen=True)
class Group:
    """The turns of two processes of side A and two of side B: `turns[side][twin]`.

    `seconds` are those that all calls took together; `cores` those that the processes were pinned to.
    """

    turns: tuple[tuple[tuple[Turn, ...], ...], ...]
    seconds: float
    cores: tuple[int, ...] = ()
