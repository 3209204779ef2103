"""Which parameters a training run changes, and how fast: frozen ones, and factors of the learning rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Exclude the parameters that the patterns name from training, and hold the statistics of their modules.

    A pattern is one of names (`backbone.*.weight`) or the name of a module. Modules with buffers, such as batch norm,
    run in eval mode if all of their tensors are named. Raises ValueError for a pattern that names no parameter, and
    where nothing is left to train.
    """
    names = {name for name, _ in model.named_parameters()}
    _check(patterns, names, "freeze")
    for name, parameter in model.named_parameters():
        if _is_named(name, patterns):
            parameter.requires_grad_(False)
    for path, module in model.named_modules():
        tensors = [f"{path}.{name}".lstrip(".") for name in (*module._parameters, *module._buffers)]
        if module._buffers and all(_is_named(name, patterns) for name in tensors):
            module.training = False
    if patterns and not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"freeze: {', '.join(patterns)} leave nothing to train; write train: none to evaluate only")


def by_factor(model: nn.Module, factors: Mapping[str, float]) -> dict[float, list[torch.Tensor]]:
    """Factor of the learning rate -> the trainable parameters that have it; the first pattern that fits decides.

    Raises ValueError for a pattern that names no parameter.
    """
    _check(factors, {name for name, _ in model.named_parameters()}, "lr_factors")
    groups: dict[float, list[torch.Tensor]] = {}
    for name, parameter in model.named_parameters():
        factor = next((f for pattern, f in factors.items() if matches(pattern, name)), 1.0)
        if parameter.requires_grad:
            groups.setdefault(factor, []).append(parameter)
    return groups


def _is_named(name: str, patterns: Iterable[str]) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def _check(patterns: Iterable[str], names: Iterable[str], key: str) -> None:
    for pattern in patterns:
        if not any(matches(pattern, name) for name in names):
            modules = ", ".join(dict.fromkeys(name.partition(".")[0] for name in sorted(names)))
            raise ValueError(f"{key}: no parameter is called '{pattern}'; the network's modules are {modules}")


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern is that of a tensor's name, or names a module that it belongs to (`backbone`)."""
    return fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")
