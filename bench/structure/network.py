"""Recordings of a network, kept so that a second question needs no second recording."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from bench.structure.lazy import has_lazy_parts, materialised_copy
from bench.structure.nodes import Tape
from bench.structure.recorder import meta_inputs
from bench.structure.supports import Supports
from bench.structure.tape import record

Shapes = tuple[tuple[int, ...], ...]

_networks: weakref.WeakKeyDictionary[torch.nn.Module, Network] = weakref.WeakKeyDictionary()


@dataclass
class Network:
    """Recordings of one model by input shapes, valid while the model's `state` is unchanged."""

    state: tuple[Any, ...]
    training: bool
    tapes: dict[Shapes, Tape] = field(default_factory=dict)
    completed: torch.nn.Module | None = None
    readers: dict[tuple[int, int, frozenset[str]], Supports] = field(default_factory=dict)

    def tape(self, model: torch.nn.Module, shapes: Shapes, limit: int | None = None) -> Tape:
        """The recording of the model at these input shapes, batch axis included; `limit` as in `record`."""
        if shapes not in self.tapes:
            self.tapes[shapes] = record(self._complete(model, shapes), shapes, training=self.training, limit=limit)
        return self.tapes[shapes]

    def _complete(self, model: torch.nn.Module, shapes: Shapes) -> torch.nn.Module:
        """The model; in place of one with lazy layers its copy with the parameters for the first `shapes`."""
        if self.completed is None and has_lazy_parts(model):
            self.completed = materialised_copy(model, meta_inputs(model, shapes))
        return model if self.completed is None else self.completed

    def supports(self, tape: Tape, source: int, cut: frozenset[str]) -> Supports:
        """The support rules of a recording for one source value and one set of edges to leave out."""
        key = (id(tape), source, cut)
        if key not in self.readers:
            self.readers[key] = Supports(tape, source, cut)
        return self.readers[key]


def network_of(model: torch.nn.Module, training: bool) -> Network:
    """The recordings of a model, empty if the model has changed since they were made."""
    state = (training, *_state(model))
    network = _networks.get(model)
    if network is None or network.state != state or _consulted_changed(network):
        network = _networks[model] = Network(state, training)
    return network


_PLAIN = (int, bool, str, float, type(None))


def _state(model: torch.nn.Module) -> tuple[Any, ...]:
    """What a recording depends on, as far as it can be read without running the model."""
    state: list[Any] = []
    for module in model.modules():
        attributes = module.__dict__
        state.append(id(module))
        state.extend((k, _fingerprint(v)) for k, v in attributes.items() if k[0] != "_" and k != "training")
        for group in (module._parameters, module._buffers):
            state.extend((k, _tensor(t)) for k, t in group.items())
        state.extend(id(h) for kind in ("_forward_hooks", "_forward_pre_hooks") for h in attributes[kind].values())
    return tuple(state)


def _tensor(t: torch.Tensor | None) -> Any:
    if t is None or is_lazy(t):
        return None
    version = None if t.is_inference() else t._version  # a tensor of inference mode has none
    return (id(t), version, t.shape, t.requires_grad, t.dtype)


def _fingerprint(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (tuple, list)):
        return tuple(_fingerprint(v) for v in value)
    if isinstance(value, dict):
        return tuple((str(k), _fingerprint(v)) for k, v in value.items())
    return id(value)


def _consulted_changed(network: Network) -> bool:
    """Whether a constant that was read has changed (`.data` writes do not change a tensor's version)."""
    zeros_of_tapes = (tape.scratch.get("zeros") for tape in network.tapes.values())
    return any(zeros is not None and zeros.outdated() for zeros in zeros_of_tapes)


def shapes_of(shape: Sequence[Any]) -> Shapes:
    """One shape (C, ...) or several, each with a batch axis of size 1 in front."""
    several = [shape] if all(isinstance(n, int) for n in shape) else list(shape)
    return tuple((1, *map(int, s)) for s in several)
