"""Admits a precision mode for training a network on a device: one whose gradients are right for every layer.

Some libraries compute wrong gradients, or crash, for some layers in some modes. `bench.training.probe` therefore runs
each distinct layer (type, hyper-parameters, input shape) once on each device, in a process of its own, and its results
are saved.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from bench.hardware import stopwatch
from bench.hardware.environment import device_facts, torch_build
from bench.structure.modes import in_training
from bench.training import modes, probe
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
GAIN = 0.95
"""`auto` leaves fp32 only for a mode that takes less than this fraction of its time."""


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

    `key` identifies the layer; `files` are the source files of its classes by module.
    """

    name: str
    key: str
    count: int
    pickled: bytes = b""
    files: Mapping[str, str] = field(default_factory=dict)
    unsendable: str | None = None


def admit(
    model: nn.Module, shape: Sequence[int], batch: int, device: str, requested: str, cache: Path | None = None
) -> Admission:
    """The mode in which `model` may be trained on batches of `batch` images of `shape` (C, H, W).

    A named mode is admitted if it is right, else the next of its fallbacks. `auto` is the fastest right mode, if that
    gains over fp32. `cache` is the folder of saved probes; None: they are not saved. The model must be on `device` and
    run in fp32.
    """
    if requested == "fp32":
        return Admission("fp32")
    layers = layers_of(model, (batch, *shape), device)
    probes = _probes(layers, FALLBACK[requested], device, cache)
    faults = {mode: fault for mode, of_mode in probes.items() if (fault := _first_fault(of_mode)) is not None}
    right = [mode for mode in probes if mode not in faults]
    seconds = {mode: _cost(layers, probes[mode]) for mode in right}
    mode = _fastest(seconds) if requested == "auto" else next(iter(right), "fp32")
    return Admission(mode, faults, seconds)


def _fastest(seconds: Mapping[str, float]) -> str:
    """The fastest mode if it gains over fp32, else fp32. (fp32 has no time where a layer failed in fp32 too.)"""
    best = min(seconds, key=lambda mode: seconds[mode], default="fp32")
    return best if seconds and seconds[best] < GAIN * seconds.get("fp32", 0.0) else "fp32"


def _first_fault(probes: Iterable[Probe]) -> str | None:
    return next(
        (f"{probe_result.layer}: {probe_result.fault}" for probe_result in probes if probe_result.fault is not None),
        None,
    )


def _cost(layers: Sequence[Layer], probes: Sequence[Probe]) -> float:
    return sum(layer.count * (probe_result.seconds or 0.0) for layer, probe_result in zip(layers, probes, strict=True))


# Probes, saved and new.


def _probes(layers: Sequence[Layer], modes: Sequence[str], device: str, cache: Path | None) -> dict[str, list[Probe]]:
    """The probe of every layer in every mode: read from `cache`, or run now and saved there."""
    machine = _machine(device)
    runs = [(index, mode) for index in range(len(layers)) for mode in modes]
    places = {(i, m): cache / f"{_digest([machine, layers[i].key, m])}.json" for i, m in runs} if cache else {}
    probes = {run: Probe(**json.loads(place.read_text())) for run, place in places.items() if place.is_file()}
    for run, probe_result in _probed(layers, [run for run in runs if run not in probes], device).items():
        probes[run] = probe_result
        if cache:
            _save(places[run], probe_result)
    return {mode: [probes[index, mode] for index in range(len(layers))] for mode in modes}


def _machine(device: str) -> list[str]:
    """What a probe depends on besides the layer and the mode; its own source is part of it."""
    abilities = json.dumps(torch.cpu.get_capabilities(), sort_keys=True, default=str)
    sources = [_file_digest(module.__file__) for module in (probe, modes, stopwatch)]
    return [device_facts(device)["device"], abilities, torch_build(), str(torch.get_num_threads()), *sources]


def _file_digest(file: str | None) -> str:
    return hashlib.sha256(Path(str(file)).read_bytes()).hexdigest()


def _digest(words: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]


def _save(place: Path, probe_result: Probe) -> None:
    """Written whole or not at all, because other workers read and write the same folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(probe_result)))
    partial.replace(place)


def _probed(layers: Sequence[Layer], runs: Sequence[tuple[int, str]], device: str) -> dict[tuple[int, str], Probe]:
    """Run the probe until every run has a result; again after each run that ended its process."""
    probes = {(i, m): _failed(layers[i], m, fault) for i, m in runs if (fault := layers[i].unsendable) is not None}
    with tempfile.TemporaryDirectory() as folder:
        while remaining := [run for run in runs if run not in probes]:
            probes |= _process(Path(folder), layers, remaining, device)
    return probes


def _failed(layer: Layer, mode: str, fault: str) -> Probe:
    return Probe(layer.name, mode, fault, {}, None)


def _process(
    folder: Path, layers: Sequence[Layer], runs: Sequence[tuple[int, str]], device: str
) -> dict[tuple[int, str], Probe]:
    """The probes of one process. The last is that of the run which ended the process, if one did.

    Raises RuntimeError where the process could not start.
    """
    ended, results = _ended(folder, layers, runs, device)
    lines = [json.loads(line) for line in results.splitlines()]
    probes = {(int(line["layer"]), line["mode"]): Probe(**line) for line in lines if "begin" not in line}
    if ended.returncode and "begin" in (lines or [{}])[-1]:
        index, mode = lines[-1]["begin"]
        probes[index, mode] = _failed(layers[index], mode, f"ends its process ({_how(ended)})")
    elif not probes:
        raise RuntimeError(f"the probe of precision modes did not start: {_how(ended)}")
    return {(i, m): replace(probe_result, layer=layers[i].name) for (i, m), probe_result in probes.items()}


def _ended(
    folder: Path, layers: Sequence[Layer], runs: Sequence[tuple[int, str]], device: str
) -> tuple[subprocess.CompletedProcess[str], str]:
    """Runs a process of the probe until it ends. Returns the ended process and the lines that it wrote."""
    request, results = folder / "request", folder / "results"
    files = {name: file for layer in layers for name, file in layer.files.items()}
    pickled = tuple(layer.pickled for layer in layers)
    request.write_bytes(pickle.dumps(ProbeRequest(pickled, tuple(runs), device, torch.get_num_threads(), files, LIMIT)))
    results.write_text("")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-P", "-m", probe.__name__, str(request), str(results)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return ended, results.read_text()


def _how(ended: subprocess.CompletedProcess[str]) -> str:
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

    def note(module: nn.Module, args: Any, kwargs: Any) -> None:
        calls.append((module, *pytree.tree_map(_shape_only, (args, kwargs))))

    hooks = [m.register_forward_pre_hook(note, with_kwargs=True) for m in model.modules() if _is_layer(m)]
    try:
        with _unchanged(model), torch.no_grad():
            in_training(model)(torch.randn(*shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return _distinct(calls)


def _is_layer(module: nn.Module) -> bool:
    if isinstance(module, (nn.Identity, nn.modules.dropout._DropoutNd)):
        return False
    return not any(True for _ in module.children()) or any(p is not None for p in module._parameters.values())


def _shape_only(leaf: Any) -> Any:
    """A floating-point tensor without its values; others, such as the indices of an unpooling, keep theirs."""
    if not isinstance(leaf, Tensor):
        return leaf
    return torch.empty_like(leaf, device="meta") if leaf.is_floating_point() else leaf.detach().cpu().clone()


def _distinct(calls: Iterable[tuple[nn.Module, Any, Any]]) -> list[Layer]:
    groups: dict[str, list[tuple[nn.Module, Any, Any]]] = {}
    for call in calls:
        groups.setdefault(_key(*call), []).append(call)
    return [_layer(key, len(group), *group[0]) for key, group in groups.items()]


def _layer(key: str, count: int, module: nn.Module, args: Any, kwargs: Any) -> Layer:
    files = _files(module)
    name = f"{module if not any(module.children()) else type(module).__name__} on {_inputs(args, kwargs)}"
    try:
        return Layer(name, key, count, pickle.dumps((_weightless(module), args, kwargs)), files)
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
    sources = {name: _file_digest(file) for name, file in _files(module).items()}
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


def _files(module: nn.Module) -> dict[str, str]:
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
