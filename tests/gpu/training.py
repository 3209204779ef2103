"""Training speed of the small FCN-8s of the reference ablations: a plain loop, our former loop, and our loop.

`python -m tests.gpu.training DEVICE STEPS SIDE` trains it once, when a line arrives on its standard input.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from architectures.fcn import fcn
from bench.hardware.accelerator import accelerator
from bench.spec.recipe import Recipe
from bench.tasks.segmentation import Segmentation
from bench.training import loop

WARM_UP = 5
"""Steps that are not counted: libraries are loaded, kernels chosen, a graph recorded."""


def small_fcn(device: str) -> torch.nn.Module:
    """The small FCN-8s."""
    torch.manual_seed(0)
    network: torch.nn.Module = fcn(
        stride=8, padding="same", width=0.25, fc_channels=1024, norm="batch", dropout=0.1, classes=11
    )
    return network.to(device)


def examples(side: int) -> Any:
    """Random images and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 3, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 11, (64, side, side), generator=generator, dtype=torch.uint8)
    return SimpleNamespace(images=images, targets={"labels": labels}, names=tuple(map(str, range(11))))


def recipe(steps: int, execution: str = "auto") -> Recipe:
    """That of the reference ablations: AdamW, an average of the weights, augmentation."""
    return Recipe(steps=steps, batch=8, lr=1e-3, mode="fp32", average=0.99, execution=execution)  # type: ignore[arg-type]


def our_seconds(device: str, steps: int, side: int, execution: str) -> tuple[float, str, Any]:
    """(seconds of a step of our loop, the execution that was used, why others were not).

    A step is the difference of a long and a short training, so that neither recording nor compiling counts.
    """
    seconds = []
    for count in (WARM_UP, WARM_UP + steps):
        chosen = recipe(count, execution)
        trained = loop.fit(small_fcn(device), Segmentation, examples(side), chosen, seed=0, device=device)
        seconds.append(trained.seconds)
    return max(seconds[1] - seconds[0], 1e-9) / steps, trained.execution, dict(trained.refused)


def former_seconds(device: str, steps: int, side: int) -> float:
    """Seconds of a step of our loop as it was: batches in the step's own stream, an average of one tensor after the
    other, losses that are waited for every 20 steps."""
    data, chosen = examples(side), recipe(WARM_UP + steps)
    model, mode = small_fcn(device), loop.MODES["fp32"]
    descent = loop._descent(model, Segmentation.loss, chosen, device, mode)
    assert descent.average is not None
    descent.average.update = lambda current: one_by_one(descent.average, current)  # type: ignore[method-assign]
    batches = loop._batches(Segmentation, data, chosen, device, mode, torch.Generator().manual_seed(0))
    waiting, wait = [], accelerator(device).synchronize
    for number, rate in enumerate(loop.pace_of(chosen).rates()):
        if number == WARM_UP:
            wait()
            start = time.perf_counter()
        waiting.append(descent.step(*next(batches), rate))
        if len(waiting) == (1 if device == "cpu" else 20):
            torch.stack(waiting).tolist()
            waiting.clear()
    wait()
    return (time.perf_counter() - start) / steps


@torch.no_grad()
def one_by_one(average: Any, current: torch.nn.Module) -> None:
    """An update of the average, a call for each tensor."""
    average.updates += 1
    weight = 1 - min(average.decay, (1 + average.updates) / (10 + average.updates))
    for mean, value in zip(loop._tensors(average.model), loop._tensors(current), strict=True):
        mean.lerp_(value, weight) if mean.is_floating_point() else mean.copy_(value)


def plain_seconds(device: str, steps: int, side: int) -> float:
    """Seconds of a step as a user writes it first: no augmentation, no average, each loss read."""
    model, data = small_fcn(device), examples(side)
    optimizer, start = torch.optim.AdamW(model.train().parameters(), lr=1e-3), 0.0
    for number in range(steps + WARM_UP):
        start = time.perf_counter() if number == WARM_UP else start
        x, y = data.images[:8].to(device).float() / 255, data.targets["labels"][:8].to(device).long()
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return (time.perf_counter() - start) / steps


def steps_per_second(device: str, steps: int, side: int, runs: int) -> float:
    """Steps per second of so many trainings at once, each in a process, which begin together.

    Raises RuntimeError where one of them fails.
    """
    line = [sys.executable, "-m", "tests.gpu.training", device, str(steps), str(side)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(line, text=True, **pipes) for _ in range(runs)]
    ready = [process.stdout.readline().strip() for process in processes if process.stdout]
    start = time.perf_counter()
    ends = [process.communicate("go\n") for process in processes] if runs == 1 else together(processes)
    seconds = time.perf_counter() - start
    for process, (_, errors), word in zip(processes, ends, ready, strict=True):
        if process.returncode or word != "ready":
            raise RuntimeError((errors.strip().splitlines() or ["no output"])[-1])
    return runs * steps / seconds


def together(processes: list[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    """Let all begin, then wait for all."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate() for process in processes]


def main(device: str, steps: int, side: int) -> None:
    """Warm up, say so, wait for a line, train."""
    data, execution = examples(side), "eager" if device == "cpu" else "graph"
    with tempfile.TemporaryDirectory() as folder:  # where the check of the graph is saved, for the second training
        how: dict[str, Any] = {"seed": 0, "device": device, "cache": Path(folder)}
        loop.fit(small_fcn(device), Segmentation, data, recipe(WARM_UP, execution), **how)
        print("ready", flush=True)
        sys.stdin.readline()
        loop.fit(small_fcn(device), Segmentation, data, recipe(steps, execution), **how)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
