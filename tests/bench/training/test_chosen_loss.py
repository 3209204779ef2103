"""Training with the loss that a recipe names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from bench.registry import outputs
from bench.spec.recipe import Recipe
from bench.tasks.segmentation import Segmentation
from bench.training import chosen_loss, loop

RECIPE = Recipe(steps=3, batch=4, lr=1e-2, mode="fp32", augment=False)
TARGETS = {"labels": torch.zeros(1, 1, 2, dtype=torch.uint8)}


def examples() -> Any:
    labels = torch.randint(0, 2, (8, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = (labels[:, None] * 200).expand(-1, 3, -1, -1).contiguous()
    return SimpleNamespace(images=images, targets={"labels": labels}, names=("dark", "bright"))


class Method(nn.Module):
    """A network whose own loss is a method."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.score = nn.Conv2d(3, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.score(images)

    def loss(self, scores: torch.Tensor, targets: Any) -> torch.Tensor:
        return 1000 + 0 * scores.sum()


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, 2, 1)


def losses(model: nn.Module, fit: Any = chosen_loss.fit, **fields: Any) -> list[float]:
    curves = fit(model, Segmentation, examples(), RECIPE.model_copy(update=fields), seed=0).curves
    return [float(value) for value in curves["loss"]]


def test_without_a_name_nothing_changes() -> None:
    assert losses(plain()) == losses(plain(), loop.fit)
    assert losses(Method()) == [1000.0] * 3


def test_the_named_loss_takes_the_place_of_that_of_the_task_and_of_the_networks_own() -> None:
    assert losses(plain(), loss="cross_entropy") == losses(plain())
    assert losses(Method(), loss="cross_entropy") == losses(plain())
    assert losses(plain(), loss="dice")[0] != losses(plain())[0]
    total = losses(plain(), loss="cross_entropy+dice")[0]
    assert total == pytest.approx(losses(plain())[0] + losses(plain(), loss="dice")[0])


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_own_loss_is_put_back_for_the_evaluation(average: float) -> None:
    recipe = RECIPE.model_copy(update={"loss": "dice", "average": average})
    for model in (Method(), plain()):
        own = SimpleNamespace(probabilities=1)
        if isinstance(model, nn.Conv2d):
            model.loss = own  # type: ignore[assignment]
        result = chosen_loss.fit(model, Segmentation, examples(), recipe, seed=0).model
        for each in (model, result):
            assert "loss" not in vars(each) if isinstance(model, Method) else each.loss is own


class Twice(nn.Module):
    """A network of a library with an auxiliary output."""

    loss_weights = {"aux": 0.5}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.score = nn.Conv2d(3, 2, 1)

    def forward(self, images: torch.Tensor) -> Any:
        return {"out": self.score(images), "aux": self.score(images)}


def test_auxiliary_outputs_get_the_named_loss_by_their_weights() -> None:
    weighted = losses(outputs.fit(Twice(), "segmentation", None), loss="dice")
    assert weighted[0] == pytest.approx(1.5 * losses(plain(), loss="dice")[0])


def test_a_function_of_a_file(tmp_path: Any) -> None:
    file = tmp_path / "own.py"
    file.write_text("def seven(outputs, targets):\n    return 0 * outputs.sum() + 7\n")
    assert losses(plain(), loss=f"{file}:seven") == [7.0] * 3
    with pytest.raises(ValueError, match="takes no argument 'weights'"):
        losses(plain(), loss=f"{file}:seven", balance=0.5)


def test_classes_are_balanced_in_named_losses() -> None:
    assert losses(plain(), loss="cross_entropy", balance=0.5) == losses(plain(), balance=0.5)
    assert losses(plain(), loss="dice", balance=0.5) != losses(plain(), loss="dice")
