"""The CUDA cards of this machine, and how many training runs they take at once.

Read with NVML, so that planning need not import torch. The rules are functions of plain numbers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.hardware import nvml

FRACTION = 0.8
"""The part of a card's free memory that training runs may take: an estimate may be 10 % too small."""

CONTEXT = 768 << 20
"""Bytes that a process takes on a card besides its tensors: the driver's context and the libraries' kernels."""


@dataclass(frozen=True)
class Card:
    """A card: its number among those that this process may use, its UUID, and the bytes that are free on it."""

    number: int
    uuid: str
    free: int

    @property
    def device(self) -> str:
        """Its name in torch."""
        return f"cuda:{self.number}"


def capacity(card: Card, need: int | None) -> int:
    """How many training runs of `need` bytes each a card takes; at least one, and one where the need is not known."""
    if need is None:
        return 1
    return max(1, int(FRACTION * card.free) // (need + CONTEXT))


def at_once(cards: Sequence[Card], need: int | None, cores: int, threads: int = 1) -> int:
    """How many training runs to make at once: what the cards take, and at most one for each `threads` cores.

    Each run has a process that launches the work of its card; more processes than cores would wait for each other.
    """
    return max(1, min(sum(capacity(card, need) for card in cards), cores // max(1, threads)))


def card_for(cards: Sequence[Card], running: Mapping[int, int], need: int | None) -> Card | None:
    """The card for the next training run: the one with the most room left; None where no card is known.

    `running` is the number of training runs on each card. With equal room the first one.
    """
    if not cards:
        return None
    return max(cards, key=lambda card: (capacity(card, need) - running.get(card.number, 0), -card.number))


def cards_here(visible: str | None = None) -> tuple[Card, ...]:
    """The cards that this process may use, in the order of torch; none where the driver cannot be asked.

    `visible` is the value of CUDA_VISIBLE_DEVICES; None: that of this process. Slices of a card (MIG) are left out.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    try:
        every = nvml.memories()
    except nvml.DriverError:
        return ()
    chosen = _chosen([uuid for uuid, _ in every], visible)
    return tuple(Card(number, uuid, dict(every)[uuid]) for number, uuid in enumerate(chosen))


def _chosen(uuids: Sequence[str], visible: str | None) -> list[str]:
    """The UUIDs that CUDA_VISIBLE_DEVICES names, as CUDA reads it: up to the first name that is no card."""
    if visible is None:
        return list(uuids)
    chosen: list[str] = []
    for name in (part.strip() for part in visible.split(",")):
        if name.isdigit() and int(name) < len(uuids):
            chosen.append(uuids[int(name)])
        elif name.startswith("GPU-") and len(those := [uuid for uuid in uuids if uuid.startswith(name)]) == 1:
            chosen += those
        else:
            break
    return chosen
