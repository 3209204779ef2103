"""What admitting a precision mode may cost: a small fraction of the trainings that it serves."""

from __future__ import annotations

from dataclasses import dataclass

FRACTION = 0.05
"""The most that an admission may cost, of the trainings that it serves."""

START = 3.0
"""Seconds of CPU time that the process of the probe needs to start: 2 to 3 s were measured."""

PASSES = 5
"""Forward and backward passes through a layer in one mode at most, with a part of those of the reference."""


@dataclass(frozen=True)
class Served:
    """The trainings that one admission serves: optimizer steps of each, and how many have this network.

    `seconds` is the time of each where that is its budget, in place of steps.
    """

    steps: int
    runs: int = 1
    seconds: float | None = None

    @property
    def length(self) -> str:
        """The length of a training in words."""
        return f"{self.steps} steps" if self.seconds is None else f"{self.seconds:g} s"

    def allowed(self, step: float, fraction: float = FRACTION) -> float:
        """Seconds that an admission may cost, where a training step takes `step` seconds in fp32."""
        return fraction * self.runs * (self.steps * step if self.seconds is None else self.seconds)


def expected(step: float, modes: int) -> float:
    """Seconds that probing a network in so many modes costs at most, where a training step takes `step` seconds.

    Each distinct layer runs a few times in each mode, and a step runs every layer at least once.
    """
    return START + PASSES * modes * step


def why_not_repaid(served: Served | None, step: float, modes: int, fraction: float = FRACTION) -> str | None:
    """Why probing does not repay; None where it does. No trainings (None) means that the cost does not matter.

    The seconds are not part of the text: they differ from run to run.
    """
    if served is None or expected(step, modes) <= served.allowed(step, fraction):
        return None
    several = f"{served.runs} trainings of {served.length} are" if served.runs > 1 else (
        f"a training of {served.length} is"
    )  # fmt: skip
    return f"not tried: {several} too short to repay it (at most {fraction:.0%} may be spent on trying)"
