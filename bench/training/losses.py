"""The losses of a training, read from the device without waiting for it; and the check that they are finite."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from bench.hardware.accelerator import accelerator

Progress = Callable[[int, int, float], None]

EVERY = 20
"""Steps whose losses a GPU sends together."""


class Diverged(ArithmeticError):  # noqa: N818 - a name like StopIteration
    """A loss of the training, or a weight after it, is not finite."""

    kind = "diverged"

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"diverged at step {step}: loss {loss}")
        self.step, self.loss = step, loss

    def __reduce__(self) -> tuple[type[Diverged], tuple[int, float]]:
        return Diverged, (self.step, self.loss)


class Length(Protocol):
    """How long the training is."""

    def total(self, made: int) -> int:
        """How many steps it will be in all, when so many are made."""


Sent = Callable[[], list[float]]
"""Gives values that were sent, once they have arrived."""


def send_now(values: Tensor) -> Sent:
    """The values, after waiting for the device."""
    numbers = values.tolist()
    return lambda: numbers


def send_behind(values: Tensor) -> Sent:
    """The values of a CUDA device, copied when it gets there; only what it gives waits."""
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(values.device))

    def arrived() -> list[float]:
        event.synchronize()
        numbers: list[float] = host.tolist()
        return numbers

    return arrived


class Losses:
    """The loss of every step.

    On a CPU each is read at once. A GPU sends those of a few steps together; they are read when the next ones have been
    sent, so that the device always has work, and Python is at most two such groups ahead of it.
    """

    def __init__(
        self,
        pace: Length,
        device: str,
        progress: Progress | None,
        send: Callable[[Tensor], Sent] | None = None,
    ) -> None:
        kind = accelerator(device).kind
        self.values: list[float] = []
        self.pace, self.every = pace, 1 if kind == "cpu" else EVERY
        self.send = send or (send_behind if kind == "cuda" else send_now)
        self.behind = 0 if self.send is send_now else 1
        self.waiting, self.sent = list[Tensor](), deque[Sent]()
        self.progress, self.reported = progress, -math.inf

    def add(self, loss: Tensor) -> None:
        """Raises Diverged at the first loss that is not finite."""
        self.waiting.append(loss)
        if len(self.waiting) == self.every:
            self._send()
            self._read(self.behind)
            self._report(last=False)

    def finish(self) -> None:
        """Read what is left when the training is over, and report its end. Raises Diverged."""
        if self.waiting:
            self._send()
        self._read(0)
        self._report(last=True)

    def _send(self) -> None:
        self.sent.append(self.send(torch.stack(self.waiting)))
        self.waiting.clear()

    def _read(self, left: int) -> None:
        while len(self.sent) > left:
            for value in self.sent.popleft()():
                self.values.append(value)
                if not math.isfinite(value):
                    raise Diverged(len(self.values), value)

    def _report(self, last: bool) -> None:
        now, made = time.monotonic(), len(self.values)
        if not made:
            return
        total = made if last else self.pace.total(made)
        if self.progress and (last or (made < total and now - self.reported >= 0.5)):
            self.progress(made, total, self.values[-1])
            self.reported = now
