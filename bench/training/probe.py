"""Checks whether a layer computes right in a precision mode, in a process of its own.

`python -m bench.training.probe REQUEST RESULTS` runs each layer of a pickled `ProbeRequest` in its modes, compares
outputs and gradients with fp32 in contiguous layout, and writes one JSON line before and one after each run, so that
the parent process knows which layer ended the process.
"""

from __future__ import annotations

import faulthandler
import functools
import importlib.util
import json
import math
import os
import pickle
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from bench.hardware.stopwatch import lap
from bench.training.modes import MODES, Mode

TOLERANCE = {"bf16": 0.1, "fp32": 1e-3}
"""The largest error of a tensor, relative to its norm.

Inputs, weights and output gradients are exact in bf16. The error is therefore the rounding of results (2^-9 each,
0.1 % in the norm) and of intermediate results: 0.2 % was measured for convolutions, poolings and batch norms, up to
4 % for modules of several steps, 9 % for a layer norm that sums many gradients in bf16. The faults that occurred begin
at 80 %, and one wrong channel of 64 gives 12 %. In fp32 another order of summation changed the norm by 2e-5 at most;
the tolerance leaves room for TF32.
"""


@dataclass(frozen=True)
class ProbeRequest:
    """The runs of a process: pickled layers, pairs (index of layer, mode), and the files of the modules in the pickles.

    A run of more than `limit` seconds counts as hung. The process ends early where it has spent `budget` seconds of CPU
    time; with `stop`, a mode in which one layer is wrong is not run on later layers.
    """

    layers: tuple[bytes, ...]
    runs: tuple[tuple[int, str], ...]
    device: str
    threads: int
    modules: Mapping[str, str]
    limit: float
    budget: float = math.inf
    stop: bool = False


@dataclass(frozen=True)
class Probe:
    """The run of a layer in a mode: its fault (None: it is right), errors by tensor, seconds forward and backward.

    The seconds are CPU time on a CPU.
    """

    layer: str
    mode: str
    fault: str | None
    errors: Mapping[str, float]
    seconds: float | None


def main(request: Path, results: Path) -> None:
    """Run a request; called in the child process."""
    todo: ProbeRequest = pickle.loads(request.read_bytes())
    torch.set_num_threads(todo.threads)
    parent = os.getppid()
    for name, file in todo.modules.items():
        load(name, file)
    wrong: set[str] = set()
    with results.open("a") as log:
        for layer, mode in todo.runs:
            if os.getppid() != parent or time.process_time() > todo.budget:  # the parent process has ended, or enough
                return
            if mode in wrong:
                continue
            faulthandler.dump_traceback_later(todo.limit, exit=True)
            print(json.dumps({"begin": [layer, mode]}), file=log, flush=True)
            probe_result = tried(todo.layers[layer], str(layer), MODES[mode], todo.device)
            print(json.dumps(asdict(probe_result)), file=log, flush=True)
            wrong |= {mode} if todo.stop and probe_result.fault else set()
            faulthandler.cancel_dump_traceback_later()


def load(name: str, file: str) -> None:
    """Import a module under the name that it has in the parent process, from its file where the name alone fails."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin != file:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is not a Python module")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def tried(layer: bytes, name: str, mode: Mode, device: str) -> Probe:
    """Runs a layer in a mode, compares it with itself in fp32 and contiguous layout, and times it."""
    try:
        reference = _reference(layer, device)
        run = _Run(layer, mode, device)
        first = _errors(run, reference)
        seconds = _seconds(run, device)
        errors = {key: _worse(first[key], again) for key, again in _errors(run, reference).items()}
    except Exception as error:  # any exception is a reason not to run the layer in this mode
        return Probe(name, mode.name, f"raises {type(error).__name__}: {error}".split("\n")[0], {}, None)
    return Probe(name, mode.name, fault_of(errors, mode), errors, seconds)


@functools.lru_cache(maxsize=1)  # the modes of a layer run one after the other
def _reference(layer: bytes, device: str) -> dict[str, Tensor]:
    reference = _tensors(_Run(layer, MODES["fp32"], device))
    if not all(bool(tensor.isfinite().all()) for tensor in reference.values()):
        raise ArithmeticError("not finite in fp32 for normal inputs, so there is nothing to compare with")
    return reference


def fault_of(errors: Mapping[str, float], mode: Mode) -> str | None:
    """The fault that these errors show; None where all are within the mode's tolerance."""
    allowed = TOLERANCE["bf16" if mode.bf16 else "fp32"]
    wrong = {key: error for key, error in errors.items() if not error <= allowed}
    if not wrong:
        return None
    worst = max(wrong, key=lambda key: math.inf if math.isnan(wrong[key]) else wrong[key])
    return f"{worst} off by {wrong[worst]:.3g} of its norm (allowed: {allowed:g})"


def _errors(run: _Run, reference: Mapping[str, Tensor]) -> dict[str, float]:
    return {key: error_of(value, reference[key]) for key, value in _tensors(run).items()}


def _worse(first: float, again: float) -> float:
    """The larger error, or NaN: a kernel that reads uninitialised memory may be right in its first run only."""
    return again if math.isnan(again) or again > first else first


def error_of(value: Tensor, reference: Tensor) -> float:
    """|value - reference| / |reference|; the reference counts as at least 1e-5 per element."""
    floor = 1e-5 * math.sqrt(reference.numel())
    return float((value.double() - reference.double()).norm() / max(float(reference.double().norm()), floor))


class _Run:
    """A layer with random weights and inputs in a mode. A call returns outputs and gradients by name."""

    def __init__(self, layer: bytes, mode: Mode, device: str) -> None:
        module, args, kwargs = pickle.loads(layer)
        generator = torch.Generator().manual_seed(0)
        self.mode, self.device = mode, device
        self.module = _weighted(module, generator).to(device).to(memory_format=mode.layout)
        self.inputs: list[Tensor] = []
        self.args, self.kwargs = pytree.tree_map(lambda leaf: self._drawn(leaf, generator), (args, kwargs))
        self.incoming: list[Tensor] = []

    def _drawn(self, leaf: Any, generator: torch.Generator) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if not leaf.is_meta:
            return leaf.to(self.device)
        value = _normal(leaf.shape, generator).to(self.device, torch.bfloat16 if self.mode.bf16 else torch.float32)
        value = value.contiguous(memory_format=self.mode.layout) if value.ndim == 4 else value
        self.inputs.append(value.requires_grad_())
        return value

    def __call__(self) -> dict[str, Tensor]:
        torch.manual_seed(0)
        args, kwargs = pytree.tree_map(_copied, (self.args, self.kwargs))
        with self.mode.autocast(self.device):
            result = self.module(*args, **kwargs)
        outputs = [o for o in pytree.tree_leaves(result) if isinstance(o, Tensor) and o.is_floating_point()]
        return {f"output {i}": o for i, o in enumerate(outputs)} | self._gradients(outputs)

    def _gradients(self, outputs: list[Tensor]) -> dict[str, Tensor]:
        """The gradients by name, for the same random output gradients in every mode."""
        outputs = [output for output in outputs if output.requires_grad]
        leaves = {f"gradient of input {i}": x for i, x in enumerate(self.inputs)}
        leaves |= {f"gradient of {name}": p for name, p in self.module.named_parameters() if p.requires_grad}
        if not outputs or not leaves:
            return {}
        if not self.incoming:
            generator = torch.Generator().manual_seed(1)
            self.incoming = [torch.empty_like(o).copy_(_normal(o.shape, generator)) for o in outputs]
        gradients = torch.autograd.grad(outputs, list(leaves.values()), self.incoming, allow_unused=True)
        return {name: gradient for name, gradient in zip(leaves, gradients, strict=True) if gradient is not None}


def _copied(leaf: Any) -> Any:
    """A copy of a tensor, because layers that work in place must not change the leaves of the graph."""
    return leaf.clone() if isinstance(leaf, Tensor) else leaf


def _tensors(run: _Run) -> dict[str, Tensor]:
    return {key: tensor.detach().float() for key, tensor in run().items()}


def _seconds(run: _Run, device: str, most: int = 5, enough: float = 0.05) -> float:
    """The least time of up to `most` further runs; of fewer where they take `enough` seconds.

    CPU time on a CPU, so that a mode is not chosen by what other processes do meanwhile; elapsed time elsewhere.
    """
    times: list[float] = []
    while len(times) < most and sum(times) < enough:
        time_of_run = lap(run, device)
        times.append(time_of_run.cpu if torch.device(device).type == "cpu" else time_of_run.elapsed)
    return min(times)


def _weighted(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draws random weights of unit gain for those that the pickle leaves out."""
    drawn: dict[int, nn.Parameter] = {}
    for layer in module.modules():
        for name, parameter in layer._parameters.items():
            if parameter is not None and parameter.is_meta:
                layer._parameters[name] = drawn.setdefault(id(parameter), _drawn(parameter, generator))
    return module


def _drawn(parameter: nn.Parameter, generator: torch.Generator) -> nn.Parameter:
    fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
    value = _normal(parameter.shape, generator) * 2.0 ** round(-math.log2(max(1, fan_in)) / 2)
    return nn.Parameter(value, requires_grad=parameter.requires_grad)


def _normal(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Normal numbers that are exact in bf16."""
    return torch.randn(shape, generator=generator).bfloat16().float()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
