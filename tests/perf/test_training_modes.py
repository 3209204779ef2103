"""Training speed of the generative families: the mode that `auto` picks against plain fp32, in turn, in one run.

Each layer is probed beforehand: a mode whose gradients do not agree with those of fp32 on this machine is not admitted,
and `auto` may admit fp32 only (ratio 1). Printed for each family: the mode, and the ratio of the medians of CPU time per step.
MODE_ROUNDS sets how many rounds.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from architectures.dcgan import dcgan
from architectures.made import made
from architectures.pixelcnn import pixelcnn
from architectures.vae import vae
from bench.data.sprites import sprites
from bench.hardware.stopwatch import thread_count
from bench.spec.recipe import Recipe
from bench.tasks.generation import Generation
from bench.training.loop import fit

ROUNDS = int(os.environ.get("MODE_ROUNDS", "3"))
STEPS, BATCH, SIDE = 12, 64, 28
MANY = 10_000
"""Trainings that an admission is said to serve: here it is asked what `auto` picks, not whether that repays."""
FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "PixelCNN": lambda: pixelcnn(layers=4, width=0.25, levels=2, size=SIDE),
    "Gated PixelCNN": lambda: pixelcnn(
        layers=4, width=0.25, gating=True, blind_spot=False, bottleneck=False, levels=2, size=SIDE
    ),
    "MADE": lambda: made(size=SIDE),
    "VAE": lambda: vae(size=SIDE),
    "GAN, hinge": lambda: dcgan(loss="hinge", norm="group", width=0.5, size=SIDE, channels=1, levels=2),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_mode_that_auto_picks_against_fp32(name: str, tmp_path: Path) -> None:
    examples = sprites(None, "train", (1, SIDE, SIDE))
    torch.manual_seed(0)
    seconds: dict[str, list[float]] = {"auto": [], "fp32": []}
    with thread_count(1):
        for number in range(ROUNDS + 1):
            for mode in seconds:
                recipe = Recipe(steps=STEPS, batch=BATCH, lr=1e-3, mode=mode)  # type: ignore[arg-type]
                trained = fit(FAMILIES[name](), Generation, examples, recipe, seed=0, cache=tmp_path, runs=MANY)
                if mode == "auto":
                    picked = trained.mode
                if number:
                    seconds[mode].append(trained.cpu_seconds / STEPS)
    auto, plain = (statistics.median(seconds[mode]) for mode in ("auto", "fp32"))
    print(f"\n{name}: {picked} {1e3 * auto:.1f} ms a step, fp32 {1e3 * plain:.1f} ms: ratio {plain / auto:.2f}")
