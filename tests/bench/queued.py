"""A made-up device with a queue, on which time passes only by launches, kernels, sleeps and waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.hardware.accelerator import Accelerator


class QueuedDevice:
    """`host` is the caller's time, `free` when the device will have done all that is queued; both in seconds."""

    def __init__(self) -> None:
        self.host = self.free = 0.0
        self.slept: list[float] = []

    def launch(self, launching: float, computing: float) -> None:
        """A kernel: the caller needs `launching` to queue it, the device `computing` to run it."""
        self.host += launching
        self.free = max(self.free, self.host) + computing

    def hold(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.free = max(self.free, self.host) + seconds

    def synchronize(self) -> None:
        self.host = max(self.host, self.free)

    def call(self, kernels: int, launching: float, computing: float) -> Callable[[], None]:
        def run() -> None:
            for _ in range(kernels):
                self.launch(launching, computing)

        return run

    def accelerator(self, **how: object) -> Accelerator:
        plain = Accelerator("made-up", self.synchronize, event=lambda: Mark(self), hold=self.hold)
        return replace(plain, **how)  # type: ignore[arg-type]


class Mark:
    def __init__(self, device: QueuedDevice) -> None:
        self.device, self.at = device, 0.0

    def record(self) -> None:
        self.at = max(self.device.free, self.device.host)

    def query(self) -> bool:
        return self.device.host >= self.at

    def synchronize(self) -> None:
        self.device.host = max(self.device.host, self.at)

    def elapsed_time(self, end: Mark) -> float:
        return 1e3 * (end.at - self.at)
