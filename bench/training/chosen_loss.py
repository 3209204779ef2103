"""Training with the loss that a recipe names, in place of the network's own and of the task's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from bench.registry.losses import loss_functions
from bench.registry.outputs import WeightedLoss
from bench.spec.losses import AUTO
from bench.spec.recipe import Recipe
from bench.training import loop
from bench.training.loop import Task, Trained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.data.examples import Examples

WEIGHTS = "weights"
"""The argument of a loss that takes the weights of classes."""
OWN = "loss"
"""The attribute with a network's own loss."""


def fit(model: nn.Module, task: type[Task], examples: Examples, recipe: Recipe, **options: Any) -> Trained:
    """`bench.training.loop.fit`, with the loss that the recipe names; without one, nothing else.

    Raises ValueError where classes are balanced and the loss takes no `weights`.
    """
    if recipe.loss == AUTO or not recipe.trains:
        return loop.fit(model, task, examples, recipe, **options)
    chosen = _chosen(recipe, task)
    with _in_place_of_own(model, chosen) as put_back:
        trained = loop.fit(model, _WithLoss(task, chosen), examples, recipe, **options)  # type: ignore[arg-type]
        put_back(trained.model)
    return trained


@dataclass(frozen=True)
class Sum:
    """The sum of several losses."""

    losses: Sequence[Callable[..., Tensor]]

    def __call__(self, outputs: Any, targets: Mapping[str, Tensor], **weights: Tensor) -> Tensor:
        """Each of the losses gets all arguments."""
        total = self.losses[0](outputs, targets, **weights)
        for loss in self.losses[1:]:
            total = total + loss(outputs, targets, **weights)
        return total


def _chosen(recipe: Recipe, task: Any) -> Callable[..., Tensor]:
    losses = loss_functions(recipe.loss, task.__module__.rpartition(".")[2])
    if recipe.balance and not all(WEIGHTS in inspect.signature(loss).parameters for loss in losses):
        raise ValueError(f"balance is {recipe.balance:g}, but the loss {recipe.loss} takes no argument '{WEIGHTS}'")
    return losses[0] if len(losses) == 1 else Sum(losses)


@dataclass(frozen=True)
class _WithLoss:
    """A task with another loss."""

    task: type[Task]
    loss: Callable[..., Tensor]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)


@dataclass(frozen=True)
class _Weighted(WeightedLoss):
    """The chosen loss of the scored output, plus that of each auxiliary output times its weight."""

    loss: Callable[..., Tensor] | None = None

    def __call__(self, outputs: Any, targets: Mapping[str, Tensor]) -> Tensor:
        """`outputs` as `bench.registry.outputs.Fit` gives them in training."""
        assert self.loss is not None
        total = self.loss(outputs["out"], targets)
        for name, weight in self.weights.items():
            total = total + weight * self.loss(outputs[name], targets)
        return total


@contextmanager
def _in_place_of_own(model: nn.Module, loss: Callable[..., Tensor]) -> Iterator[Callable[[nn.Module], None]]:
    """A network without its own loss, or with the chosen one for weighted outputs.

    Gives what puts the own loss back, into the model and into its average.
    """
    own = getattr(model, OWN, None)
    if own is None:
        yield lambda model: None
        return
    stated = OWN in vars(model) or OWN in model._modules
    model.loss = _Weighted(own.task, own.weights, loss) if isinstance(own, WeightedLoss) else None  # type: ignore[assignment]

    def put_back(changed: nn.Module) -> None:
        if stated:
            changed.loss = own
        else:
            vars(changed).pop(OWN, None)  # the method of the class

    try:
        yield put_back
    finally:
        put_back(model)
