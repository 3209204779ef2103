"""Which tensor of a network's result is scored, and at which size: the written rule, see docs/definitions.md.

A network of a library, or of the user's file, may return a tensor, a mapping, a dataclass, a named tuple, an object
with attributes, or a list or tuple. A forward hook puts the one tensor that is scored in the place of all that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.registry.errors import RegistryError

if TYPE_CHECKING:
    import torch

MAIN = ("out", "logits")
"""The names of the main output, in the order in which they are looked for."""
DENSE = "segmentation"
"""The task that scores every pixel: its scores are resized to the size of the input, bilinearly."""
WEIGHTS = "loss_weights"
"""A network's own attribute: weight by name of an auxiliary output, whose loss training adds."""


class OutputError(RegistryError):
    """A result of which no tensor can be scored."""

    kind = "failed"


@dataclass(frozen=True)
class Fit:
    """A forward hook: the result of a network becomes its scored tensor. `key` names it; None: by the rule.

    In training, a network with a loss of its own keeps its result, and one with `loss_weights` gives a mapping:
    `out`, the scored tensor, then those with a weight.
    """

    task: str
    key: str | int | None = None

    def __call__(self, network: torch.nn.Module, inputs: Sequence[Any], result: Any) -> Any:
        """Raises OutputError where no tensor can be chosen."""
        weighted = isinstance(getattr(network, "loss", None), WeightedLoss)
        if network.training and callable(getattr(network, "loss", None)) and not weighted:
            return result
        main = self.sized(self.chosen(network, result)[1], inputs)
        if not (network.training and weighted):
            return main
        entries = dict(entries_of(result))
        weights: Mapping[Any, float] = getattr(network, WEIGHTS)
        others = {name: self.sized(tensor_of(entries, name)[1], inputs) for name in weights}
        return {"out": main, **others}

    def chosen(self, network: torch.nn.Module, result: Any) -> tuple[str, torch.Tensor]:
        """(its place in the result, the scored tensor). Raises OutputError with the network's outputs."""
        try:
            return tensor_of(dict(entries_of(result)), self.key) if self.key is not None else scored(result)
        except OutputError as error:
            raise OutputError(f"{type(network).__name__} gave {listed(result)}: {error}") from None

    def sized(self, scores: torch.Tensor, inputs: Sequence[Any]) -> torch.Tensor:
        """Scores (B, C, h, w) of every pixel at the size of the images (B, C, H, W); other tensors as they are."""
        size = self.size(scores, inputs)
        if size is None:
            return scores
        from torch.nn import functional

        return functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)

    def size(self, scores: torch.Tensor, inputs: Sequence[Any]) -> tuple[int, ...] | None:
        """The size that scores are resized to; None where they stay as they are."""
        if self.task != DENSE or scores.ndim != 4 or getattr(inputs[0], "ndim", 0) != 4:
            return None
        size = tuple(inputs[0].shape[-2:])
        return None if tuple(scores.shape[-2:]) == size else size

    def described(self, network: torch.nn.Module, inputs: Sequence[Any]) -> str:
        """Which output of a network on these inputs is scored, of which, and how it is resized."""
        result = network.forward(*inputs)
        place, scores = self.chosen(network, result)
        of = f"'{place}' of {listed(result)}" if place else listed(result)
        size = self.size(scores, inputs)
        return of if size is None else f"{of}, resized bilinearly to {size[0]} x {size[1]}"


@dataclass(frozen=True)
class WeightedLoss:
    """The task's loss of the scored output, plus that of each auxiliary output times its weight."""

    task: str
    weights: Mapping[Any, float]

    def __call__(self, outputs: Any, targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """`outputs` as `Fit` gives them in training."""
        from bench.registry.entries import LIVE

        loss = LIVE.tasks.get(self.task).call.loss  # type: ignore[attr-defined]
        total: torch.Tensor = loss(outputs["out"], targets)
        for name, weight in self.weights.items():
            total = total + weight * loss(outputs[name], targets)
        return total


def fit(network: torch.nn.Module, task: str, key: str | int | None) -> torch.nn.Module:
    """The same network, whose result from now on is the tensor that `task` scores."""
    network.register_forward_hook(Fit(task, key))
    if hasattr(network, WEIGHTS) and not callable(getattr(network, "loss", None)):
        network.loss = WeightedLoss(task, dict(getattr(network, WEIGHTS)))  # type: ignore[assignment]
    return network


def fit_of(network: torch.nn.Module) -> Fit | None:
    """How a network is fitted; None for one that is not."""
    return next((hook for hook in network._forward_hooks.values() if isinstance(hook, Fit)), None)


def scored(result: Any) -> tuple[str, torch.Tensor]:
    """(its place, the tensor): the result itself; the entry `out` or `logits`; the only tensor; the first of a list.

    Raises OutputError for any other result.
    """
    if _is_tensor(result):
        return "", result
    entries = dict(entries_of(result))
    main = next((name for name in MAIN if name in entries), None)
    if main is not None:
        return tensor_of(entries, main)
    tensors = [name for name, value in entries.items() if _is_tensor(value)]
    if len(tensors) == 1 or (tensors and _is_sequence(result)):
        return tensor_of(entries, tensors[0])
    names = ", ".join(map(str, entries))
    raise OutputError(f"state which is scored as output: KEY (there is: {names})" if names else "there is no tensor")


def tensor_of(entries: Mapping[Any, Any], key: Any) -> tuple[str, torch.Tensor]:
    """The tensor of an entry, by the rule where it holds several; a number counts the entries, -1 is the last."""
    names = list(entries)
    if isinstance(key, int) and key not in entries and -len(names) <= key < len(names):
        key = names[key]
    if key not in entries:
        raise OutputError(f"there is no output {key!r} (there is: {', '.join(map(str, names)) or 'none'})")
    inner, tensor = scored(entries[key])
    return f"{key}.{inner}" if inner else str(key), tensor


def entries_of(result: Any) -> Iterator[tuple[Any, Any]]:
    """(name or number, value) of the outputs of a result that is no tensor; without those that are None."""
    yield from ((name, value) for name, value in _entries(result) if value is not None)


def _entries(result: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(result, Mapping):
        yield from result.items()
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        yield from ((field.name, getattr(result, field.name)) for field in dataclasses.fields(result))
    elif hasattr(result, "_fields"):
        yield from zip(result._fields, result, strict=True)
    elif isinstance(result, (list, tuple)):
        yield from enumerate(result)
    elif not _is_tensor(result):
        own = {name: value for name, value in getattr(result, "__dict__", {}).items() if name[:1] != "_"}
        yield from (own | {name: getattr(result, name) for name in MAIN if hasattr(result, name)}).items()


def listed(result: Any) -> str:
    """The outputs of a result with the shapes of its tensors."""
    if _is_tensor(result):
        return f"a tensor of shape {tuple(result.shape)}"
    parts = [f"{name} {_shape(value)}" for name, value in entries_of(result)]
    return f"{type(result).__name__} with {', '.join(parts)}" if parts else f"a {type(result).__name__}"


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if _is_tensor(value) else type(value).__name__


def _is_sequence(result: Any) -> bool:
    return isinstance(result, (list, tuple)) and not hasattr(result, "_fields")


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)
