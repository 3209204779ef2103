"""Admits a precision mode for training a network on a device: one whose gradients are right for every layer.

Some libraries compute wrong gradients, or crash, for some layers in some modes. `bench.training.probe` therefore runs
each distinct layer (type, hyper-parameters, input shape) once on each device, in a process of its own, and its results
are saved.

Modes for which the device has no instructions are not tried. `auto` is not tried either where that would cost more than
a small fraction of the trainings that it serves (`budget`). A decision of `auto` is saved too: all seeds of a network,
and a run that is resumed, train in the same mode.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from bench.hardware import stopwatch
from bench.hardware.environment import device_facts, torch_build
from bench.structure.modes import in_training
from bench.training import budget as budget_rules
from bench.training import modes, probe, processor
from bench.training.budget import FRACTION, Served, why_not_repaid
from bench.training.modes import MODES
from bench.training.probe import Probe, ProbeRequest

FALLBACK: Mapping[str, tuple[str, ...]] = {
    "channels_last": ("channels_last",),
    "bf16": ("bf16",),
    "bf16+channels_last": ("bf16+channels_last", "bf16"),
    "auto": ("bf16+channels_last", "bf16", "channels_last", "fp32"),
}
"""The modes that are probed for a requested one. A named mode that fails falls back to the next, at last to fp32."""
LIMIT = 600.0
"""Seconds that a layer may take in one mode before it counts as hung."""
GAIN = 0.8
"""`auto` leaves fp32 only for a mode that takes less than this fraction of its time: more than noise can make of it."""
CLOSE = 1.1
"""Modes within this ratio of the fastest count as equally fast; `auto` takes the one nearest to fp32."""
NEAREST = ("channels_last", "bf16", "bf16+channels_last")
"""The modes, from the arithmetic of fp32 on."""


class ProbeKilledError(RuntimeError):
    """The process of a probe was ended from outside, which is a result of no layer and of no training run."""

    fault = "outside"


@dataclass(frozen=True)
class Admission:
    """The admitted mode, and each refused mode with its first wrong layer and the fault.

    `seconds` are those of one forward and backward pass through all layers, by mode, for the modes that are right.
    """

    mode: str
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """A distinct layer of a network, how often it runs, and its pickle or why it has none (`unsendable`).

    `key` identifies the layer; `files` are the source files of its classes by module. `seconds` are those of its first
    forward pass in CPU time: the most costly layers are probed first.
    """

    name: str
    key: str
    count: int
    pickled: bytes = b""
    files: Mapping[str, str] = field(default_factory=dict)
    unsendable: str | None = None
    seconds: float = 0.0


def admit(
    model: nn.Module,
    shape: Sequence[int],
    batch: int,
    device: str,
    requested: str,
    cache: Path | None = None,
    served: Served | None = None,
) -> Admission:
    """The mode in which `model` may be trained on batches of `batch` images of `shape` (C, H, W).

    A named mode is admitted if it is right, else the next of its fallbacks. `auto` is the fastest right mode, if that
    gains over fp32. `cache` is the folder of saved probes and decisions; None: they are not saved. `served` are the
    trainings that `auto` is for, which bound what it may cost; None: it may cost anything. The model must be on
    `device` and run in fp32.
    """
    if requested == "fp32":
        return Admission("fp32")
    refused = {m: why for m in FALLBACK[requested] if (why := processor.why_not(MODES[m], device)) is not None}
    possible = [mode for mode in FALLBACK[requested] if mode not in refused]
    if not set(possible) - {"fp32"}:
        return Admission("fp32", refused)
    layers = layers_of(model, (batch, *shape), device)
    if requested == "auto":
        chosen = _Choice(model, (batch, *shape), layers, possible, device, cache, served).decided()
    else:
        chosen = _named(layers, possible, device, cache)
    return replace(chosen, refused={**refused, **chosen.refused})


def _named(layers: Sequence[Layer], modes: Sequence[str], device: str, cache: Path | None) -> Admission:
    """The first mode in which every layer is right."""
    probes = _probes(layers, modes, device, cache)
    faults = {mode: fault for mode, of_mode in probes.items() if (fault := _first_fault(of_mode)) is not None}
    right = [mode for mode in probes if mode not in faults]
    return Admission(next(iter(right), "fp32"), faults, {mode: _cost(layers, probes[mode]) for mode in right})


@dataclass(frozen=True)
class _Choice:
    """What `auto` chooses from, and for which trainings; `shape` is (N, C, H, W)."""

    model: nn.Module
    shape: Sequence[int]
    layers: Sequence[Layer]
    modes: Sequence[str]
    device: str
    cache: Path | None
    served: Served | None

    def decided(self) -> Admission:
        """The saved decision, or one that is made and saved while other processes wait for it."""
        if self.cache is None:
            return self.made()
        return remembered(self.cache / f"{self._digest()}.decision.json", Admission, self.made)

    def _digest(self) -> str:
        rules = [file_digest_of(file) for file in (__file__, budget_rules.__file__, processor.__file__)]
        layers = sorted([layer.key, layer.count] for layer in self.layers)
        return digest_of([*machine_facts(self.device), *rules, self.modes, self.served and self.served.length, layers])

    def made(self) -> Admission:
        """The fastest right mode, if trying the modes repays and it gains over fp32."""
        step = PASSES_OF_A_STEP * forward_seconds(self.model, self.shape, self.device) if self.served else 0.0
        if reason := why_not_repaid(self.served, step, len(self.modes)):
            return Admission("fp32", {mode: reason for mode in self.modes if mode != "fp32"})
        dearest = sorted(self.layers, key=lambda layer: -layer.seconds)
        most = self.served.allowed(step) if self.served else math.inf
        probes = _probes(dearest, self.modes, self.device, self.cache, most, stop=True)
        faults = {mode: fault for mode, of_mode in probes.items() if (fault := _first_fault(of_mode)) is not None}
        unfinished = [mode for mode in self.modes if mode not in faults and len(probes[mode]) < len(dearest)]
        seconds = {mode: _cost(dearest, probes[mode]) for mode in self.modes if mode not in (*faults, *unfinished)}
        faults |= {mode: UNFINISHED for mode in unfinished if mode != "fp32"}
        return Admission(_fastest(seconds), faults, seconds)


UNFINISHED = f"not tried on all layers: that would cost more than {FRACTION:.0%} of the trainings"

PASSES_OF_A_STEP = 3
"""A training step takes about three times as long as a forward pass: the backward pass takes twice that."""


def forward_seconds(model: nn.Module, shape: Sequence[int], device: str) -> float:
    """Seconds of a forward pass in training mode: CPU time on a CPU, elapsed time elsewhere."""
    with _unchanged(model), torch.no_grad():
        x, network = torch.randn(*shape, device=device), in_training(model)
        time_of_pass = stopwatch.lap(lambda: network(x), device)
    return time_of_pass.cpu if torch.device(device).type == "cpu" else time_of_pass.elapsed


def _fastest(seconds: Mapping[str, float]) -> str:
    """The fastest mode if it clearly gains over fp32, else fp32; of equally fast ones that nearest to fp32.

    (fp32 has no time where a layer failed in fp32 too.)
    """
    gaining = {mode: each for mode, each in seconds.items() if each < GAIN * seconds.get("fp32", 0.0)}
    if not gaining:
        return "fp32"
    best = min(gaining.values())
    return next(mode for mode in NEAREST if mode in gaining and gaining[mode] <= CLOSE * best)


def _first_fault(probes: Iterable[Probe]) -> str | None:
    return next(
        (f"{probe_result.layer}: {probe_result.fault}" for probe_result in probes if probe_result.fault is not None),
        None,
    )


def _cost(layers: Sequence[Layer], probes: Sequence[Probe]) -> float:
    return sum(layer.count * (probe_result.seconds or 0.0) for layer, probe_result in zip(layers, probes, strict=True))


# Probes, saved and new.


def _probes(
    layers: Sequence[Layer],
    modes: Sequence[str],
    device: str,
    cache: Path | None,
    budget: float = math.inf,
    stop: bool = False,
) -> dict[str, list[Probe]]:
    """The probe of every layer in every mode: read from `cache`, or run now and saved there.

    Probes are missing where they would cost more than `budget` seconds of CPU time, and with `stop` also those of a
    mode after its first wrong layer.
    """
    machine = machine_facts(device)
    runs = [(index, mode) for index in range(len(layers)) for mode in modes]
    places = {(i, m): cache / f"{digest_of([machine, layers[i].key, m])}.json" for i, m in runs} if cache else {}
    probes = {run: Probe(**json.loads(place.read_text())) for run, place in places.items() if place.is_file()}
    left = [run for run in runs if run not in probes]
    for run, probe_result in _probed(layers, left, device, budget, stop).items():
        probes[run] = probe_result
        if cache:
            save(places[run], probe_result)
    every = {mode: [probes.get((index, mode)) for index in range(len(layers))] for mode in modes}
    return {mode: [each for each in of_mode if each is not None] for mode, of_mode in every.items()}


def machine_facts(device: str) -> list[str]:
    """What a probe depends on besides the layer and the mode; its own source is part of it."""
    abilities = json.dumps(torch.cpu.get_capabilities(), sort_keys=True, default=str)
    sources = [file_digest_of(module.__file__) for module in (probe, modes, stopwatch)]
    return [device_facts(device)["device"], abilities, torch_build(), str(torch.get_num_threads()), *sources]


def file_digest_of(file: str | None) -> str:
    return hashlib.sha256(Path(str(file)).read_bytes()).hexdigest()


def digest_of(words: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]


R = TypeVar("R", Probe, Admission)


def remembered(place: Path, kind: type[R], make: Callable[[], R]) -> R:
    """The saved result, or one that is made and saved while other processes wait for it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if place.is_file():
            return kind(**json.loads(place.read_text()))
        result = make()
        save(place, result)
        return result


def save(place: Path, content: Probe | Admission) -> None:
    """Written whole or not at all, because other workers read and write the same folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(content)))
    partial.replace(place)


def _probed(
    layers: Sequence[Layer],
    runs: Sequence[tuple[int, str]],
    device: str,
    budget: float = math.inf,
    stop: bool = False,
) -> dict[tuple[int, str], Probe]:
    """Run the probe until every run has a result; again after each run that ended its process."""
    probes = {(i, m): _failed(layers[i], m, fault) for i, m in runs if (fault := layers[i].unsendable) is not None}
    with tempfile.TemporaryDirectory() as folder:
        while remaining := _remaining(runs, probes, stop):
            before = _children_seconds()
            new, complete = _process(Path(folder), layers, remaining, device, budget, stop)
            probes |= new
            budget -= _children_seconds() - before
            if complete or budget <= 0:
                break
    return probes


def _remaining(
    runs: Sequence[tuple[int, str]], probes: Mapping[tuple[int, str], Probe], stop: bool
) -> list[tuple[int, str]]:
    wrong = {mode for (_, mode), each in probes.items() if stop and each.fault}
    return [(index, mode) for index, mode in runs if (index, mode) not in probes and mode not in wrong]


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _failed(layer: Layer, mode: str, fault: str) -> Probe:
    return Probe(layer.name, mode, fault, {}, None)


def _process(
    folder: Path, layers: Sequence[Layer], runs: Sequence[tuple[int, str]], device: str, budget: float, stop: bool
) -> tuple[dict[tuple[int, str], Probe], bool]:
    """(the probes of one process, whether it came to its end). The last is that of the run which ended it, if one did.

    Raises RuntimeError where the process could not start.
    """
    ended, results = _ended(folder, layers, runs, device, budget, stop)
    lines = [json.loads(line) for line in results.splitlines()]
    probes = {(int(line["layer"]), line["mode"]): Probe(**line) for line in lines if "begin" not in line}
    if ended.returncode and "begin" in (lines or [{}])[-1]:
        index, mode = lines[-1]["begin"]
        probes[index, mode] = _failed(layers[index], mode, f"ends its process ({how_ended(ended)})")
    elif not probes and (ended.returncode or budget == math.inf):
        raise RuntimeError(f"the probe of precision modes did not start: {how_ended(ended)}")
    named = {(i, m): replace(probe_result, layer=layers[i].name) for (i, m), probe_result in probes.items()}
    return named, not ended.returncode


def _ended(
    folder: Path, layers: Sequence[Layer], runs: Sequence[tuple[int, str]], device: str, budget: float, stop: bool
) -> tuple[subprocess.CompletedProcess[str], str]:
    """Runs a process of the probe until it ends. Returns the ended process and the lines that it wrote."""
    request, results = folder / "request", folder / "results"
    files = {name: file for layer in layers for name, file in layer.files.items()}
    pickled = tuple(layer.pickled for layer in layers)
    threads = torch.get_num_threads()
    todo = ProbeRequest(pickled, tuple(runs), device, threads, files, LIMIT, budget, stop)
    request.write_bytes(pickle.dumps(todo))
    results.write_text("")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-P", "-m", probe.__name__, str(request), str(results)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return ended, results.read_text()


def how_ended(ended: subprocess.CompletedProcess[str]) -> str:
    """How a process ended. Raises ProbeKilledError where it was ended from outside, which is no fault of a layer."""
    if -ended.returncode in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        raise ProbeKilledError(f"the probe of precision modes was ended by {signal.Signals(-ended.returncode).name}")
    if ended.returncode < 0:
        return signal.Signals(-ended.returncode).name
    lines = ended.stderr.strip().splitlines() or ["no message"]
    return f"status {ended.returncode}: {lines[0]}"


# The layers of a network.


def layers_of(model: nn.Module, shape: Sequence[int], device: str) -> list[Layer]:
    """The distinct layers in a training forward pass on a batch of `shape` (N, C, H, W). The model is left unchanged.

    A layer is a module without children or with weights of its own. Identities are left out, and dropout, which only
    draws other random numbers in another layout.
    """
    calls: list[tuple[nn.Module, Any, Any]] = []
    seconds: list[float] = []
    running: list[tuple[int, float]] = []

    def begin(module: nn.Module, args: Any, kwargs: Any) -> None:
        running.append((len(calls), time.process_time()))
        calls.append((module, *pytree.tree_map(_shape_only, (args, kwargs))))
        seconds.append(0.0)

    def end(*_: Any) -> None:
        number, started = running.pop()
        seconds[number] = time.process_time() - started

    modules = [module for module in model.modules() if _is_layer(module)]
    hooks: list[Any] = [module.register_forward_pre_hook(begin, with_kwargs=True) for module in modules]
    hooks += [module.register_forward_hook(end) for module in modules]
    try:
        with _unchanged(model), torch.no_grad():
            in_training(model)(torch.randn(*shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return _distinct([_LayerCall(*call, spent) for call, spent in zip(calls, seconds, strict=True)])


@dataclass(frozen=True)
class _LayerCall:
    """A call of a layer: its inputs without their values, and the CPU seconds that it took."""

    module: nn.Module
    args: Any
    kwargs: Any
    seconds: float


def _is_layer(module: nn.Module) -> bool:
    if isinstance(module, (nn.Identity, nn.modules.dropout._DropoutNd)):
        return False
    return not any(True for _ in module.children()) or any(p is not None for p in module._parameters.values())


def _shape_only(leaf: Any) -> Any:
    """A floating-point tensor without its values; others, such as the indices of an unpooling, keep theirs."""
    if not isinstance(leaf, Tensor):
        return leaf
    return torch.empty_like(leaf, device="meta") if leaf.is_floating_point() else leaf.detach().cpu().clone()


def _distinct(calls: Iterable[_LayerCall]) -> list[Layer]:
    groups: dict[str, list[_LayerCall]] = {}
    for call in calls:
        groups.setdefault(_key(call.module, call.args, call.kwargs), []).append(call)
    return [_layer(key, group) for key, group in groups.items()]


def _layer(key: str, calls: Sequence[_LayerCall]) -> Layer:
    module, args, kwargs = calls[0].module, calls[0].args, calls[0].kwargs
    count, seconds = len(calls), calls[0].seconds
    files = files_of(module)
    name = f"{module if not any(module.children()) else type(module).__name__} on {_inputs(args, kwargs)}"
    try:
        return Layer(name, key, count, pickle.dumps((_weightless(module), args, kwargs)), files, seconds=seconds)
    except Exception as error:  # copying and pickling run the module's own code, which may raise anything
        return Layer(name, key, count, unsendable=f"cannot be sent to another process: {error}")


def _weightless(module: nn.Module) -> nn.Module:
    """A copy whose trainable weights are on the meta device: the probe draws its own."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    memo = {id(p): nn.Parameter(torch.empty_like(p, device="meta")) for p in trainable}
    return copy.deepcopy(module, memo)


def _key(module: nn.Module, args: Any, kwargs: Any) -> str:
    """Types, settings, shapes of weights and inputs, and the sources of classes that are not torch's."""
    settings = {k: v for k, v in vars(module).items() if not k.startswith("_") and _is_setting(v)}
    state = {n: f"{tuple(t.shape)} {t.requires_grad}" for n, t in [*module.named_parameters(), *module.named_buffers()]}
    kinds = [f"{type(m).__module__}.{type(m).__qualname__}" for m in module.modules()]
    sources = {name: file_digest_of(file) for name, file in files_of(module).items()}
    return json.dumps([kinds, settings, state, _inputs(args, kwargs), sources])


def _inputs(args: Any, kwargs: Any) -> str:
    return ", ".join(_described(leaf) for leaf in pytree.tree_leaves((args, kwargs)))


def _is_setting(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_setting(v) for v in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _described(leaf: Any) -> str:
    """A tensor by its type and shape: `float32 (8, 3, 120, 160)`."""
    return f"{leaf.dtype} {tuple(leaf.shape)}".removeprefix("torch.") if isinstance(leaf, Tensor) else repr(leaf)


def files_of(module: nn.Module) -> dict[str, str]:
    """The source files of the classes by module, without torch's own and the main program."""
    names = {type(m).__module__ for m in module.modules()}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names - {"__main__"}}
    return {name: file for name, file in files.items() if file and not name.startswith("torch.")}


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Resets buffers (such as batch norm's statistics), training flags and torch's generators afterwards."""
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    training = [(m, m.training) for m in model.modules()]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_available() else []):
        try:
            yield
        finally:
            for buffer, value in buffers:
                buffer.data.copy_(value)
            for module, flag in training:
                module.training = flag
