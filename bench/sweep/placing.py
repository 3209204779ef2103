"""Which card of the machine a training run is given to, and how many training runs the memory takes at once."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import psutil

from bench.hardware.cards import Card, at_once, card_for
from bench.hardware.environment import usable_cores
from bench.hardware.free_memory import CGROUP, left_in_container
from bench.registry import text_of
from bench.results.keys import Request
from bench.sweep.executors import Emit, Executor, Job


@dataclass(frozen=True)
class Cards:
    """The cards of this machine, and the bytes that the largest of the training runs needs; None: not known."""

    cards: tuple[Card, ...] = ()
    need: int | None = None

    @property
    def several(self) -> bool:
        """Whether training runs are given to cards; on a single one there is nothing to choose."""
        return len(self.cards) > 1

    def workers(self, threads: int) -> int:
        """Training runs at once."""
        return at_once(self.cards, self.need, usable_cores(), threads)

    def place(self, device: str, running: Iterable[str], trains: bool) -> Card | None:
        """The card for a job whose workload says `device`; None where it stays with what the workload says.

        `running` are the devices of the jobs that run now. A job that trains nothing, such as a timing, has the first.
        """
        if device != "cuda" or not self.several:
            return None
        if not trains:
            return self.cards[0]
        numbers = {card.device: card.number for card in self.cards}
        return card_for(self.cards, Counter(numbers[each] for each in running if each in numbers), self.need)


@dataclass(frozen=True)
class OnCard:
    """A job in whose process the card is the only one, and `cuda` names it."""

    job: Job
    uuid: str

    def __call__(self, emit: Emit) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = self.uuid  # read when CUDA is first used, in the job
        self.job(emit)


DeviceKind = Literal["cpu", "cuda"]

Training = tuple[Request, int]
"""A training run, and the examples of each of its steps."""


FRACTION = 0.8
"""The part of the free memory that training runs may take: other programs need some too."""

OF_A_PROCESS = 512 << 20
"""Bytes that a training process takes besides its tensors: what the libraries write to, and the dataset."""

WORKSPACE = 1.5
"""What the kernels of a CPU need besides the tensors that the estimate counts, as a factor of it: up to a third more
for convolutions, see `bench.structure.lifetimes`, and the libraries keep freed memory."""

LIMIT = 300.0
"""Seconds for the estimate of one network."""

MOST = 16
"""So many different networks are estimated at most, which takes 0.1 s each or more: those with the largest product of
parameters, pixels and batch. Building a network to count its parameters takes a few milliseconds."""


def free_memory() -> int:
    """Bytes of this machine's memory that are free without swapping, within the limit of a container."""
    available, left = int(psutil.virtual_memory().available), left_in_container(CGROUP)
    return available if left is None else min(available, left)


def bytes_of_run(need: int) -> int:
    """The memory of a training run whose tensors take `need` bytes."""
    return int(WORKSPACE * need) + OF_A_PROCESS


def fitting(free: int, need: int) -> int:
    """How many training runs of `need` bytes of tensors each fit into the memory at once; at least one."""
    return max(1, int(FRACTION * free) // bytes_of_run(need))


@dataclass(frozen=True)
class Room:
    """How many training runs at once this machine's memory has room for, in words too.

    `at_most` is None where memory is no bound, or where the estimate is not known.
    """

    at_most: int | None = None
    text: str = ""


def room_for(need: int | str, workers: int) -> Room:
    """The room where each training run needs so many bytes, or why that is not known, and so many could run at once."""
    if isinstance(need, str):
        return Room(
            None, f"{workers} training runs at once, by cores alone: what memory they need is not known ({need})"
        )
    free = free_memory()
    at_most = fitting(free, need)
    if at_most >= workers:
        return Room()
    largest = f"the largest needs about {_gib(bytes_of_run(need))}, {_gib(free)} are free"
    return Room(at_most, f"{at_most} training run{'s' * (at_most > 1)} at once instead of {workers}: {largest}")


def _gib(size: float) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def needed(trainings: Sequence[Training], plugins: tuple[str, ...], kind: DeviceKind, executor: Executor) -> int | str:
    """The bytes of tensors of the largest of these training runs by the estimate, which runs no network.

    Of more than MOST different networks, by the estimates of the MOST that are largest by parameters, pixels and batch.
    Where a network cannot be estimated: the reason.
    """
    different = {_network(request, batch): (request, batch) for request, batch in trainings}
    needs: list[int] = []

    def receive(item: object) -> None:
        if isinstance(item, int):
            needs.append(item)

    end = executor.submit(MemoryJob(tuple(different.values()), plugins, kind), receive, timeout=LIMIT).result()
    return end.error or max(needs)


def _network(request: Request, batch: int) -> Hashable:
    """What the memory of a training step depends on."""
    return request.variant.architecture, text_of(request.variant.values), request.workload.shape, batch


@dataclass(frozen=True)
class MemoryJob:
    """Estimates the memory of training runs; emits an integer for each. A job, since it imports torch."""

    trainings: tuple[Training, ...]
    plugins: tuple[str, ...] = ()
    kind: DeviceKind = "cuda"

    def __call__(self, emit: Emit) -> None:
        largest = self.trainings
        if len(largest) > MOST:
            largest = tuple(
                sorted(largest, key=lambda training: _size(training[0], training[1], self.plugins), reverse=True)[:MOST]
            )
        for request, batch in largest:
            emit(training_bytes(request, batch, self.plugins, self.kind))


def _size(request: Request, batch: int, plugins: tuple[str, ...]) -> int:
    """Parameters x pixels x batch: what the memory of training runs grows with."""
    from bench.sweep.subjects import subject_of

    network = subject_of(replace(request, kind="static"), plugins).structure
    return sum(each.numel() for each in network.parameters()) * math.prod(request.workload.shape) * batch


def training_bytes(request: Request, batch: int, plugins: tuple[str, ...], kind: DeviceKind) -> int:
    """The estimated peak of a training step: weights, gradients, AdamW's state, and the average of the weights.

    Raises what a network raises that cannot be estimated.
    """
    from bench.structure.allocation import EXACT, cuda_allocator
    from bench.structure.lifetimes import training
    from bench.sweep.subjects import subject_of

    allocator = cuda_allocator(reorders=True) if kind == "cuda" else EXACT
    network = subject_of(replace(request, kind="static"), plugins).structure
    memory = training(network, (batch, *request.workload.shape), optimizer="adamw", allocator=allocator)
    return memory.peak + memory.weights
