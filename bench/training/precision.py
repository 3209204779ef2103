"""Which precision mode a device may train a network in: only one whose gradients are right for its every layer.

Some libraries compute wrong gradients, or crash, for some layers in some modes. So a mode is admitted per
device and per distinct layer (type, hyper-parameters, input shape) by `bench.probe`, in a process of its
own, once; what it found is kept.
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
"""What is tried for a wanted mode; a named one that fails falls back to the next, at last to fp32."""
LIMIT = 600.0
"""Seconds that a layer may take in one mode before it counts as hung."""
GAIN = 0.95
"""`auto` leaves fp32 only for a mode that takes less than this fraction of its time."""


@dataclass(frozen=True)
class Admission:
    """The mode that may run; each refused mode with the layer and what was wrong with it.

    `seconds` are those of one forward and backward pass through all layers, by mode, where it was measured.
    """

    mode: str
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """A distinct layer of a network and how often it runs; itself pickled, or why that is impossible.

    `key` is all that tells it from others; `files` are those of its classes' modules.
    """

    name: str
    key: str
    count: int
    pickled: bytes = b""
    files: Mapping[str, str] = field(default_factory=dict)
    unsendable: str | None = None


def admit(
    model: nn.Module, shape: Sequence[int], batch: int, device: str, wanted: str, cache: Path | None = None
) -> Admission:
    """The mode in which `model` may be trained on batches of `shape` (C, H, W), by the wanted mode's fall-backs.

    A named mode is taken if it is right. `auto` takes the fastest right one, if it gains. `cache` is a folder
    where findings are kept; None: nowhere. The model must be on `device` and work in fp32.
    """
    if wanted == "fp32":
        return Admission("fp32")
    layers = layers_of(model, (batch, *shape), device)
    probes = _probes(layers, FALLBACK[wanted], device, cache)
    faults = {mode: fault for mode, tried in probes.items() if (fault := _first_fault(tried)) is not None}
    right = [mode for mode in probes if mode not in faults]
    seconds = {mode: _cost(layers, probes[mode]) for mode in right}
    mode = _fastest(seconds) if wanted == "auto" else next(iter(right), "fp32")
    return Admission(mode, faults, seconds)


def _fastest(seconds: Mapping[str, float]) -> str:
    """The fastest mode if it gains over fp32 (which is not there if a layer did not run even so)."""
    best = min(seconds, key=lambda mode: seconds[mode], default="fp32")
    return best if seconds and seconds[best] < GAIN * seconds.get("fp32", 0.0) else "fp32"


def _first_fault(probes: Iterable[Probe]) -> str | None:
    return next(
        (f"{probe_result.layer}: {probe_result.fault}" for probe_result in probes if probe_result.fault is not None),
        None,
    )


def _cost(layers: Sequence[Layer], probes: Sequence[Probe]) -> float:
    return sum(layer.count * (probe_result.seconds or 0.0) for layer, probe_result in zip(layers, probes, strict=True))


# What the probe finds, and where it is kept.


def _probes(layers: Sequence[Layer], modes: Sequence[str], device: str, cache: Path | None) -> dict[str, list[Probe]]:
    """The trial of every layer in every mode: kept ones, and new ones, which are kept."""
    machine = _machine(device)
    runs = [(index, mode) for index in range(len(layers)) for mode in modes]
    places = {(i, m): cache / f"{_digest([machine, layers[i].key, m])}.json" for i, m in runs} if cache else {}
    found = {run: Probe(**json.loads(place.read_text())) for run, place in places.items() if place.is_file()}
    for run, probe_result in _probed(layers, [run for run in runs if run not in found], device).items():
        found[run] = probe_result
        if cache:
            _keep(places[run], probe_result)
    return {mode: [found[index, mode] for index in range(len(layers))] for mode in modes}


def _machine(device: str) -> list[str]:
    """What a trial depends on besides the layer and the mode, the probe itself included."""
    abilities = json.dumps(torch.cpu.get_capabilities(), sort_keys=True, default=str)
    sources = [_file_digest(module.__file__) for module in (probe, modes, stopwatch)]
    return [device_facts(device)["device"], abilities, torch_build(), str(torch.get_num_threads()), *sources]


def _file_digest(file: str | None) -> str:
    return hashlib.sha256(Path(str(file)).read_bytes()).hexdigest()


def _digest(words: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]


def _keep(place: Path, probe_result: Probe) -> None:
    """Written whole or not at all: other workers read and write the same folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(probe_result)))
    partial.replace(place)


def _probed(layers: Sequence[Layer], runs: Sequence[tuple[int, str]], device: str) -> dict[tuple[int, str], Probe]:
    """Run the probe, again after each run that ended it, until every run has its trial."""
    found = {(i, m): _failed(layers[i], m, fault) for i, m in runs if (fault := layers[i].unsendable) is not None}
    with tempfile.TemporaryDirectory() as folder:
        while left := [run for run in runs if run not in found]:
            found |= _process(Path(folder), layers, left, device)
    return found


def _failed(layer: Layer, mode: str, fault: str) -> Probe:
    return Probe(layer.name, mode, fault, {}, None)


def _process(
    folder: Path, layers: Sequence[Layer], runs: Sequence[tuple[int, str]], device: str
) -> dict[tuple[int, str], Probe]:
    """The trials of one process; the last is that of the run which ended it, if one did.

    Raises RuntimeError where the process could not even start.
    """
    ended, results = _ended(folder, layers, runs, device)
    lines = [json.loads(line) for line in results.splitlines()]
    found = {(int(t["layer"]), t["mode"]): Probe(**t) for t in lines if "begin" not in t}
    if ended.returncode and "begin" in (lines or [{}])[-1]:
        index, mode = lines[-1]["begin"]
        found[index, mode] = _failed(layers[index], mode, f"ends its process ({_how(ended)})")
    elif not found:
        raise RuntimeError(f"the probe of precision modes did not start: {_how(ended)}")
    return {(i, m): replace(probe_result, layer=layers[i].name) for (i, m), probe_result in found.items()}


def _ended(
    folder: Path, layers: Sequence[Layer], runs: Sequence[tuple[int, str]], device: str
) -> tuple[subprocess.CompletedProcess[str], str]:
    """A process of the probe that has ended, and the lines it wrote."""
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
    """How a process ended. Raises RuntimeError where someone else ended it, which says nothing of the layer."""
    if -ended.returncode in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        raise RuntimeError(f"the probe of precision modes was ended by {signal.Signals(-ended.returncode).name}")
    if ended.returncode < 0:
        return signal.Signals(-ended.returncode).name
    told = ended.stderr.strip().splitlines() or ["nothing said"]
    return f"status {ended.returncode}: {told[0]}"


# The layers of a network.


# The layers of a network.


def layers_of(model: nn.Module, shape: Sequence[int], device: str) -> list[Layer]:
    """The distinct layers that a training forward pass on a batch of `shape` runs; the model is left as it was.

    A layer is a module without children or with weights of its own. Dropout, which draws other numbers in
    another layout and computes nothing else, and identities are left out.
    """
    calls: list[tuple[nn.Module, Any, Any]] = []

    def note(module: nn.Module, args: Any, kwargs: Any) -> None:
        calls.append((module, *pytree.tree_map(_shape_only, (args, kwargs))))

    hooks = [m.register_forward_pre_hook(note, with_kwargs=True) for m in model.modules() if _is_layer(m)]
    try:
        with _as_it_was(model), torch.no_grad():
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
    """Floating tensors without their values; what is no float (indices of an unpooling) keeps its own."""
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
    """A copy whose trainable weights are shapes only: the probe draws its own."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    memo = {id(p): nn.Parameter(torch.empty_like(p, device="meta")) for p in trainable}
    return copy.deepcopy(module, memo)


def _key(module: nn.Module, args: Any, kwargs: Any) -> str:
    """Types, settings, shapes of weights and inputs, and the sources of what is not torch's."""
    settings = {k: v for k, v in vars(module).items() if not k.startswith("_") and _is_setting(v)}
    state = {n: f"{tuple(t.shape)} {t.requires_grad}" for n, t in [*module.named_parameters(), *module.named_buffers()]}
    kinds = [f"{type(m).__module__}.{type(m).__qualname__}" for m in module.modules()]
    sources = {name: _file_digest(file) for name, file in _files(module).items()}
    return json.dumps([kinds, settings, state, _inputs(args, kwargs), sources])


def _inputs(args: Any, kwargs: Any) -> str:
    return ", ".join(_words(leaf) for leaf in pytree.tree_leaves((args, kwargs)))


def _is_setting(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_setting(v) for v in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _words(leaf: Any) -> str:
    """A tensor by its type and shape: `float32 (8, 3, 120, 160)`."""
    return f"{leaf.dtype} {tuple(leaf.shape)}".removeprefix("torch.") if isinstance(leaf, Tensor) else repr(leaf)


def _files(module: nn.Module) -> dict[str, str]:
    """The files of the modules that define the classes, torch's own and the main program left out."""
    names = {type(m).__module__ for m in module.modules()}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names - {"__main__"}}
    return {name: file for name, file in files.items() if file and not name.startswith("torch.")}


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Buffers (batch norm's statistics), training flags and torch's generators are put back afterwards."""
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
