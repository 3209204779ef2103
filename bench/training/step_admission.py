"""Admits an execution of the training step: one that gives the gradients that the step has call by call.

A network's whole step is tried once on each device, in a process of its own (`bench.training.step_probe`), and the
result is saved: all seeds of a network are trained in the same execution. One that fails is not used, and the record
of the training names it with the reason.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.structure.modes import moved
from bench.training import execution as executions
from bench.training import step_probe
from bench.training.budget import Served, why_not_repaid
from bench.training.execution import EXECUTIONS, FALLBACK, why_not
from bench.training.feeding import Batch
from bench.training.precision import (
    LIMIT,
    PASSES_OF_A_STEP,
    digest_of,
    file_digest_of,
    files_of,
    forward_seconds,
    how_ended,
    layers_of,
    machine_facts,
    remembered,
)
from bench.training.probe import Probe
from bench.training.step_probe import StepRequest, loss_on

FRACTION = 0.25
"""The most that trying an execution may cost, of the trainings that it serves: more than a precision mode, since a
graph takes away the time in which a device waits for Python, which is most of the time of a small network."""


@dataclass(frozen=True)
class StepAdmission:
    """The admitted execution, and the reason for each one that was requested and is not used."""

    execution: str = "eager"
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A training step: the network on its device, its loss (None: the network's own), the precision mode.

    `batches` makes a few batches on the CPU, which the step is tried on.
    """

    model: nn.Module
    loss: Any
    mode: str
    device: str
    batches: Callable[[], list[Batch]]


def admit_execution(
    step: Step, requested: str, cache: Path | None = None, served: Served | None = None
) -> StepAdmission:
    """The first execution of those for `requested` that is right, else `eager`.

    `auto` is a graph where the device has graphs, and is not tried where that would not repay for the trainings
    `served`. `cache` is the folder of saved results; None: they are not saved.
    """
    if requested == "eager":
        return StepAdmission()
    refused: dict[str, str] = {}
    for name in FALLBACK[requested]:
        if (reason := why_not(EXECUTIONS[name], step.device)) is not None:
            if requested != "auto":  # which names no execution
                refused[name] = reason
        elif (reason := _fault(step, name, cache, served if requested == "auto" else None)) is None:
            return StepAdmission(name, refused)
        else:
            refused[name] = reason
    return StepAdmission("eager", refused)


def _fault(step: Step, execution: str, cache: Path | None, served: Served | None) -> str | None:
    """Why the step is not executed so; None where it may be. Saved, while other processes wait for it."""
    batches = step.batches()
    if cache is None:
        return _tried(step, execution, batches, served).fault
    place = cache / f"{_digest(step, execution, batches, served)}.step.json"
    return remembered(place, Probe, lambda: _tried(step, execution, batches, served)).fault


def _digest(step: Step, execution: str, batches: Sequence[Batch], served: Served | None) -> str:
    """What the result depends on: the machine, the code, the layers, the loss, the form of a batch, the trainings."""
    sources = [file_digest_of(module.__file__) for module in (executions, step_probe)]
    layers = sorted([layer.key, layer.count] for layer in layers_of(step.model, batches[0][0].shape, step.device))
    form = {name: [str(t.dtype), list(t.shape)] for name, t in {"images": batches[0][0], **batches[0][1]}.items()}
    loss = [file_digest_of(file) for _, file in sorted(_modules(step).items())]
    policy = [torch.are_deterministic_algorithms_enabled(), served and served.length]
    return digest_of([*machine_facts(step.device), *sources, execution, step.mode, layers, form, loss, policy])


def _modules(step: Step) -> dict[str, str]:
    """The source files of the network's modules and of its loss, by module."""
    function = getattr(step.loss, "func", step.loss)  # of a partial
    module = getattr(function, "__module__", None)
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return files_of(step.model) | ({module: file} if module and file and module != "__main__" else {})


def _tried(step: Step, execution: str, batches: Sequence[Batch], served: Served | None = None) -> Probe:
    """The result of a process of the probe, or why none is started.

    Raises ProbeKilledError where the process was ended from outside.
    """
    shape = batches[0][0].shape
    seconds = PASSES_OF_A_STEP * forward_seconds(step.model, shape, step.device) if served else 0.0
    if reason := why_not_repaid(served, seconds, 1, FRACTION):
        return _not_right(execution, reason)
    try:
        pickled = pickle.dumps((moved(copy.deepcopy(step.model), "cpu"), loss_on(step.loss, "cpu"), batches))
    except Exception as error:  # copying and pickling run the network's own code, which may raise anything
        return _not_right(execution, f"cannot be sent to another process: {error}")
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    modules, mode, device = _modules(step), step.mode, step.device
    todo = StepRequest(pickled, mode, execution, device, threads, modules, LIMIT, deterministic)
    with tempfile.TemporaryDirectory() as folder:
        request, result = Path(folder, "request"), Path(folder, "result")
        request.write_bytes(pickle.dumps(todo))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        command = [sys.executable, "-P", "-m", step_probe.__name__, str(request), str(result)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if result.is_file() and not ended.returncode:
            return Probe(**json.loads(result.read_text()))
    return _not_right(execution, f"ends its process ({how_ended(ended)})")


def _not_right(execution: str, reason: str) -> Probe:
    return Probe("the training step", execution, reason, {}, None)
