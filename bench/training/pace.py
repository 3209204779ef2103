"""How long a training lasts and at which learning rates: a number of steps, or a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bench.spec.recipe import Recipe

Clock = Callable[[], float]
"""Gives seconds from any start."""


class Pace(Protocol):
    """The learning rates of the steps, until the training is over; and how many steps that is, as far as is known."""

    def rates(self) -> Iterator[float]:
        """The rate of each step; asked for when the step begins."""

    def total(self, made: int) -> int:
        """How many steps it will be in all, when so many are made."""


@dataclass
class StepPace:
    """As many steps as the recipe says."""

    recipe: Recipe

    def rates(self) -> Iterator[float]:
        return (learning_rate(self.recipe, step) for step in range(self.recipe.steps))

    def total(self, made: int) -> int:
        return self.recipe.steps


@dataclass
class TimePace:
    """Steps until the recipe's seconds are over, one at least; the schedule follows the fraction of them that is."""

    recipe: Recipe
    seconds: float
    clock: Clock = time.perf_counter
    spent: float = field(default=0.0, init=False)

    def rates(self) -> Iterator[float]:
        started = self.clock()
        while self.spent < 1:
            yield rate_after(self.recipe, self.spent)
            self.spent = (self.clock() - started) / self.seconds

    def total(self, made: int) -> int:
        """An estimate by the time spent so far."""
        return max(made, round(made / self.spent)) if 0 < self.spent < 1 else made


def pace_of(recipe: Recipe, clock: Clock = time.perf_counter) -> Pace:
    """The pace of a recipe. Raises ValueError for a budget of FLOPs, which is turned into steps before training."""
    if recipe.flops is not None:
        raise ValueError("a budget of FLOPs is turned into steps before the training")
    return StepPace(recipe) if recipe.seconds is None else TimePace(recipe, recipe.seconds, clock)


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate of step 0, 1, ...: a linear rise over the warm-up's fraction of the steps, then the schedule.

    `cosine` falls to 0 along half a cosine, `poly` as (1 - t)^0.9, where t is the fraction of the steps done.
    """
    warm = round(recipe.warmup * recipe.steps)
    if step < warm:
        return recipe.lr * (step + 1) / warm
    return _scheduled(recipe, (step - warm) / max(1, recipe.steps - warm))


def rate_after(recipe: Recipe, spent: float) -> float:
    """The rate when a fraction of the budget is spent: as `learning_rate`, in infinitely many steps."""
    if spent < recipe.warmup:
        return recipe.lr * spent / recipe.warmup
    return _scheduled(recipe, (spent - recipe.warmup) / (1 - recipe.warmup))


def _scheduled(recipe: Recipe, done: float) -> float:
    """The rate after the warm-up, when a fraction of the rest is done."""
    if recipe.schedule == "cosine":
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * done))
    return recipe.lr * (1 - done) ** 0.9 if recipe.schedule == "poly" else recipe.lr
