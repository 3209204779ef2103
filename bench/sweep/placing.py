"""Which card of the machine a training run is given to, and how many runs there are at once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.hardware.cards import Card, at_once, card_for, cards_here
from bench.hardware.environment import usable_cores
from bench.results.keys import Request
from bench.sweep.executors import Emit, Job
from bench.sweep.roots import ElsewhereError, elsewhere


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


Training = tuple[Request, int]
"""A training run, and the examples of each of its steps."""


def cards_for(trainings: Sequence[Training], plugins: tuple[str, ...]) -> Cards:
    """The cards, and what the largest of these training runs needs by the estimate, which runs no network.

    The need is unknown where a network cannot be estimated: then each card has one run at a time.
    """
    cards = cards_here()
    if not cards or not trainings:
        return Cards(cards)
    different = {(request.variant, request.workload.shape, batch): (request, batch) for request, batch in trainings}
    try:
        return Cards(cards, max(elsewhere(training_bytes, "", "", list(different.values()), plugins)))
    except ElsewhereError:
        return Cards(cards)


def training_bytes(trainings: Sequence[Training], plugins: tuple[str, ...]) -> list[int]:
    """The estimated peak of a training step of each: weights, gradients, AdamW's state, and the average of the weights.

    Runs in a process of its own, since it imports torch. Raises what a network raises that cannot be estimated.
    """
    from bench.structure.allocation import cuda_allocator
    from bench.structure.lifetimes import training
    from bench.sweep.subjects import subject_of

    needs, allocator = [], cuda_allocator(reorders=True)
    for request, batch in trainings:
        network = subject_of(replace(request, kind="static"), plugins).structure
        memory = training(network, (batch, *request.workload.shape), optimizer="adamw", allocator=allocator)
        needs.append(memory.peak + memory.weights)
    return needs
