"""What admitting precision modes costs, as a fraction of the trainings that it serves: a small FCN on a synthetic dataset.

CPU seconds of this process and of those it starts. The training is extrapolated from a few steps in fp32, in the same
run. Printed for trainings of several lengths: the mode, the cost of the admission, and its fraction of the training.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest
import torch

from architectures.fcn import fcn
from bench.data.boundaries import boundaries
from bench.hardware.stopwatch import thread_count
from bench.spec.recipe import Recipe
from bench.tasks.segmentation import Segmentation
from bench.training.budget import Served
from bench.training.loop import fit
from bench.training.precision import admit

SHAPE, BATCH, STEPS = (3, 64, 64), 16, 10


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def network() -> torch.nn.Module:
    return fcn(stride=8, width=0.125, fc_channels=32, norm="batch", padding="same", dropout=0.0, classes=2)


def seconds_of_a_step() -> float:
    examples = boundaries(None, "train", SHAPE, train_count=64)
    trained = fit(network(), Segmentation, examples, Recipe(steps=STEPS, batch=BATCH, mode="fp32"), seed=0)
    return trained.cpu_seconds / STEPS


@pytest.mark.parametrize(("steps", "runs"), [(60, 1), (400, 1), (1800, 3), (10_000, 5)])
def test_the_cost_of_admission(steps: int, runs: int, tmp_path: Path) -> None:
    with thread_count(1):
        step = seconds_of_a_step()
        before, start = cpu_seconds(), time.perf_counter()
        admission = admit(network(), SHAPE, BATCH, "cpu", "auto", tmp_path, Served(steps, runs))
        cost, elapsed = cpu_seconds() - before, time.perf_counter() - start
        before = cpu_seconds()
        again = admit(network(), SHAPE, BATCH, "cpu", "auto", tmp_path, Served(steps, runs))
        cost_again = cpu_seconds() - before
    training = runs * steps * step
    print(f"\n{runs} x {steps} steps of {1e3 * step:.0f} ms, {training:.0f} s CPU: {admission.mode}", end="")
    print(f"; admission {cost:.2f} s CPU ({elapsed:.1f} s elapsed), {cost / training:.2%} of it", end="")
    print(f"; of the next seed {cost_again:.2f} s")
    assert again == admission
