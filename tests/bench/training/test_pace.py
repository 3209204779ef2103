"""Trainings with a budget of time: their steps and learning rates, by a clock of the test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from bench.spec.recipe import Recipe
from bench.training.budget import Served
from bench.training.pace import Clock, StepPace, TimePace, learning_rate, pace_of, rate_after
from tests.bench.training.test_loop import trained


def ticking(step: float) -> Clock:
    """A clock that goes on by `step` seconds whenever it is read."""
    times: Iterator[float] = (step * number for number in count())
    return lambda: next(times)


@pytest.mark.parametrize(("budget", "step", "steps"), [("10s", 1.0, 10), ("10s", 3.0, 4), ("1s", 5.0, 1)])
def test_a_training_ends_when_its_time_is_over(budget: str, step: float, steps: int) -> None:
    recipe = Recipe(budget=budget, batch=4, mode="fp32")
    reports: list[Any] = []
    result = trained(recipe, clock=ticking(step), progress=lambda *report: reports.append(report))
    assert result.steps == len(result.curves["loss"]) == len(result.curves["lr"]) == steps
    assert result.curves["step"].tolist() == list(range(1, steps + 1))
    assert reports[-1][0] == reports[-1][1] == steps


@pytest.mark.parametrize("schedule", ["cosine", "poly", "constant"])
def test_the_schedule_follows_the_fraction_of_the_time(schedule: str) -> None:
    recipe = Recipe(budget="8s", warmup=0.25, schedule=schedule, lr=1.0)  # type: ignore[arg-type]
    rates = list(pace_of(recipe, ticking(1.0)).rates())
    assert rates == [rate_after(recipe, number / 8) for number in range(8)]
    assert rates[:3] == [0.0, 0.5, 1.0]
    many = recipe.model_copy(update={"steps": 8000, "budget": None})
    assert rates == pytest.approx([learning_rate(many, 1000 * number) for number in range(8)], abs=1e-3)


def test_the_number_of_steps_is_estimated_by_the_time_spent() -> None:
    pace = TimePace(Recipe(budget="10s"), 10.0, ticking(1.0))
    rates = pace.rates()
    next(rates)
    assert pace.total(1) == 1
    next(rates)
    assert pace.total(1) == 10


def test_steps_keep_their_pace_and_flops_are_no_pace() -> None:
    recipe = Recipe(steps=5)
    assert isinstance(pace_of(recipe), StepPace)
    assert list(pace_of(recipe).rates()) == [learning_rate(recipe, step) for step in range(5)]
    with pytest.raises(ValueError, match="turned into steps before"):
        pace_of(Recipe(budget="1e9 flops"))


def test_an_admission_may_cost_a_fraction_of_the_time() -> None:
    assert Served(400, 2, 60.0).allowed(step=0.1) == pytest.approx(0.05 * 2 * 60)
    assert Served(400, 2).allowed(step=0.1) == pytest.approx(0.05 * 2 * 40)
