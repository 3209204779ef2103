"""Checks whether a network's training step gives the same gradients in another execution, in a process of its own.

`python -m bench.training.step_probe REQUEST RESULT` reads a pickled `StepRequest` and writes a `Probe` as JSON. The
reference is the same step in the same precision mode, call by call. Errors are measured and judged as those of a layer
in a precision mode (`bench.training.probe`).
"""

from __future__ import annotations

import faulthandler
import functools
import json
import pickle
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.structure.modes import in_training, moved
from bench.training.execution import EXECUTIONS, WARM_UP, Execution, compiled, recorded
from bench.training.feeding import Batch
from bench.training.modes import MODES, Mode
from bench.training.probe import Probe, error_of, fault_of, load

Gradients = Callable[[Tensor, Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class StepRequest:
    """What is checked: `pickled` is (network, loss or None for its own, batches), all on the CPU.

    `modules` are the files of the modules in the pickle. A check of more than `limit` seconds counts as hung.
    """

    pickled: bytes
    mode: str
    execution: str
    device: str
    threads: int
    modules: Mapping[str, str]
    limit: float
    deterministic: bool = False


def main(request: Path, result: Path) -> None:
    """Run a request; called in the child process."""
    todo: StepRequest = pickle.loads(request.read_bytes())
    torch.set_num_threads(todo.threads)
    torch.use_deterministic_algorithms(todo.deterministic)
    faulthandler.dump_traceback_later(todo.limit, exit=True)
    for name, file in todo.modules.items():
        load(name, file)
    result.write_text(json.dumps(asdict(tried(todo))))


def tried(todo: StepRequest) -> Probe:
    """Run the step in the execution, and compare it with itself call by call, on each batch."""
    mode, execution, name = MODES[todo.mode], EXECUTIONS[todo.execution], "the training step"
    try:
        model, loss, batches = pickle.loads(todo.pickled)
        network = in_training(moved(model, todo.device, mode.layout))
        step = StepGradients(network, loss_on(loss, todo.device), mode, todo.device)
        on_device = [_moved(batch, mode, todo.device) for batch in batches]
        if changed := step.decided_by_python(on_device[0]):
            return Probe(name, execution.name, f"{changed}, which is not repeated", {}, None)
        errors = _errors(step, execution, on_device, todo.device)
    except Exception as error:  # any exception is a reason not to execute the step so
        return Probe(name, execution.name, f"raises {type(error).__name__}: {error}".split("\n")[0], {}, None)
    return Probe(name, execution.name, fault_of(errors, mode), errors, None)


def loss_on(loss: Any, device: str) -> Any:
    """A loss whose tensors, such as the weights of classes, are on the device."""
    keywords = getattr(loss, "keywords", None)  # of a partial
    if keywords is None:
        return loss
    there = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in keywords.items()}
    return functools.partial(loss.func, *loss.args, **there)


def _moved(batch: Batch, mode: Mode, device: str) -> Batch:
    images, targets = batch
    layout = mode.layout if images.ndim == 4 else torch.contiguous_format
    return images.to(device).contiguous(memory_format=layout), {n: t.to(device) for n, t in targets.items()}


def _errors(step: StepGradients, execution: Execution, batches: Sequence[Batch], device: str) -> dict[str, float]:
    """The largest error of each tensor over the batches. A replay that does not read its batch is wrong in the last."""
    expected = [step.from_start(step.gradients, batch) for batch in batches]
    function = recorded(step.in_execution(execution), execution, device)
    for _ in range(WARM_UP + 1):
        step.from_start(function, batches[0])
    actual = [step.from_start(function, batch) for batch in batches]
    worst: dict[str, float] = {}
    for after, before in zip(actual, expected, strict=True):
        if after.keys() != before.keys():
            raise ValueError(f"gradients of other weights: {', '.join(sorted(after.keys() ^ before.keys()))}")
        for name, value in after.items():
            worst[name] = max(worst.get(name, 0.0), error_of(value, before[name]), key=_badness)
    return worst


def _badness(error: float) -> float:
    return float("inf") if error != error else error


class StepGradients:
    """The gradients of a network's loss on a batch, and its buffers afterwards, by name."""

    def __init__(self, model: nn.Module, loss: Any, mode: Mode, device: str) -> None:
        self.model, self.mode, self.device = model, mode, device
        self.loss: Any = loss if loss is not None else model.loss
        self.buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]

    def objective(self, images: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch."""
        with self.mode.autocast(self.device):
            loss: Tensor = self.loss(self.model(images), targets)
        return loss

    def gradients(self, images: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Loss, gradients and floating-point buffers, call by call."""
        return self._of(self.objective, images, targets)

    def in_execution(self, execution: Execution) -> Gradients:
        """`gradients` with a compiled objective where the execution has one."""
        objective = compiled(self.objective) if execution.compiled else self.objective
        return lambda images, targets: self._of(objective, images, targets)

    def _of(self, objective: Callable[..., Tensor], images: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        loss = objective(images, targets)
        values = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        gradients = {f"gradient of {n}": g for n, g in zip(weights, values, strict=True) if g is not None}
        buffers = {f"buffer {n}": b for n, b in self.model.named_buffers() if b.is_floating_point()}
        return {"loss": loss.detach(), **gradients, **buffers}

    def from_start(self, function: Gradients, batch: Batch) -> dict[str, Tensor]:
        """What `function` gives for a batch, from the same random numbers and buffers in every call."""
        for buffer, value in self.buffers:
            buffer.data.copy_(value)
        torch.manual_seed(0)
        return {name: tensor.detach().clone() for name, tensor in function(*batch).items()}

    def decided_by_python(self, batch: Batch) -> str:
        """What a step changes outside of tensors; empty where it changes nothing."""
        torch.manual_seed(0)
        before, generators, tensors = _attributes(self.model), _generators(self.device), _tensors(self.model)
        self.from_start(self.gradients, batch)
        if replaced := [name for name, tensor in _tensors(self.model).items() if tensor is not tensors.get(name)]:
            return f"a step puts another tensor in the place of '{replaced[0]}'"
        after = _attributes(self.model)
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        if changed:
            return f"a step changes '{changed[0]}' of the network"
        drawn = [name for name, state in _generators(self.device).items() if state != generators[name]]
        return f"a step draws random numbers of {drawn[0]}" if drawn else ""


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _attributes(model: nn.Module) -> dict[str, Any]:
    """A copy of every attribute of the modules that is a number, a text, None or a list of these, by its place."""
    return {
        f"{place}.{name}".lstrip("."): list(value) if isinstance(value, list) else value
        for place, module in model.named_modules()
        for name, value in vars(module).items()
        if _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(each) for each in value)
    return isinstance(value, (bool, int, float, str, type(None)))


def _generators(device: str) -> dict[str, bytes]:
    """The states of the generators of random numbers that do not draw on the device."""
    states = {"Python": pickle.dumps(random.getstate()), "numpy": pickle.dumps(np.random.get_state())}
    if torch.device(device).type != "cpu":
        states["torch on the CPU"] = torch.get_rng_state().numpy().tobytes()
    return states


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
