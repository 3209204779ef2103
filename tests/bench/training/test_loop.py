from __future__ import annotations

import math
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from bench.spec.recipe import Recipe
from bench.tasks.segmentation import Segmentation, predict
from bench.training.loop import Diverged, Trained, fit, shuffled
from bench.training.pace import learning_rate

RECIPE = Recipe(steps=12, batch=4, lr=1e-2, mode="fp32")


def stripes(count: int = 12, size: int = 16) -> Any:
    """Images whose class is their colour: learnable in a few steps."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (count, 1, size), generator=generator, dtype=torch.uint8)
    labels = labels.expand(-1, size, -1).contiguous()
    images = (labels[:, None] * 200).expand(-1, 3, -1, -1).contiguous()
    return SimpleNamespace(images=images, targets={"labels": labels}, names=("dark", "bright"))


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(8, 2, 1)
    )


def trained(recipe: Recipe = RECIPE, seed: int = 0, model: nn.Module | None = None, **options: Any) -> Trained:
    return fit(model or network(), Segmentation, stripes(), recipe, seed=seed, **options)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_loss_falls_and_the_curves_are_whole() -> None:
    result = trained(RECIPE.model_copy(update={"steps": 60, "augment": False}))
    losses = result.curves["loss"]
    assert losses[-5:].mean() < 0.5 * losses[0]
    assert result.curves["step"].tolist() == list(range(1, 61))
    assert result.curves["lr"].max() == pytest.approx(1e-2)
    assert not result.model.training
    assert result.mode == "fp32"
    assert result.cpu_seconds > 0


@pytest.mark.parametrize("mode", ["fp32", "bf16+channels_last"])
def test_same_seed_same_weights(mode: str, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"mode": mode, "average": 0.9})
    first, again, other = (trained(recipe, seed=seed, cache=tmp_path) for seed in (0, 0, 1))
    assert first.mode == again.mode
    assert same(first.model, again.model)
    assert first.curves["loss"].tolist() == again.curves["loss"].tolist()
    assert not same(first.model, other.model)


def test_training_leaves_torchs_global_state_alone() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    trained(model=network())
    torch.manual_seed(0)
    assert torch.get_num_threads() == threads
    torch.set_rng_state(state)
    before = torch.rand(1)
    torch.set_rng_state(state)
    model = network()
    torch.set_rng_state(state)
    trained(model=model)
    assert torch.equal(torch.rand(1), before)


class Silent(nn.Module):
    """Its methods return nothing, as those of networks of users may."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)

    def eval(self) -> None:  # type: ignore[override]
        super().train(False)

    def to(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        super().to(*args, **kwargs)

    def requires_grad_(self, requires_grad: bool = True) -> None:  # type: ignore[override]
        super().requires_grad_(requires_grad)


@pytest.mark.parametrize("mode", ["fp32", "channels_last"])
def test_a_network_may_return_nothing_from_train_and_eval(mode: str) -> None:
    result = trained(RECIPE.model_copy(update={"mode": mode}), model=Silent())
    assert not result.model.training
    assert len(result.curves["loss"]) == RECIPE.steps


class Exploding(nn.Module):
    """Finite for some steps, then not."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.inner, self.left = network(), step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        return self.inner(x) * (math.inf if self.left <= 0 else 1)


def test_a_loss_that_is_not_finite_is_reported_with_its_step() -> None:
    with pytest.raises(Diverged, match="diverged at step 5") as caught:
        trained(model=Exploding(5))
    assert caught.value.step == 5
    assert not math.isfinite(caught.value.loss)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.step == 5
    assert str(copy) == str(caught.value)


def test_weights_that_are_not_finite_after_the_last_step_are_reported() -> None:
    model = network()
    model[0].weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(Diverged, match="diverged at step 1:"):
        trained(RECIPE.model_copy(update={"steps": 1}), model=model)


class OwnLoss(nn.Module):
    """An architecture whose paper's loss is part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)

    def loss(self, outputs: torch.Tensor, targets: dict[str, torch.Tensor]) -> torch.Tensor:
        return Segmentation.loss(outputs, targets) * 0 + 42


def test_a_network_may_own_its_loss() -> None:
    assert trained(model=OwnLoss()).curves["loss"].tolist() == [42.0] * 12


def test_balance_weighs_the_classes_and_a_network_with_its_own_loss_refuses_it() -> None:
    balanced = RECIPE.model_copy(update={"balance": 0.5, "augment": False})
    plain = RECIPE.model_copy(update={"augment": False})
    assert trained(balanced).curves["loss"][0] != trained(plain).curves["loss"][0]
    with pytest.raises(ValueError, match="loss of OwnLoss has no classes to weigh"):
        trained(balanced, model=OwnLoss())


def test_average_lags_behind_the_weights_and_covers_batch_norms_buffers() -> None:
    recipe = RECIPE.model_copy(update={"augment": False})
    last = network()
    averaged = trained(recipe.model_copy(update={"average": 0.99}), model=last).model
    start = network()
    for name in ("0.weight", "1.running_mean"):
        begin, mean, end = (m.state_dict()[name] for m in (start, averaged, last))
        assert 0 < (mean - begin).norm() < (end - begin).norm()
        assert not torch.equal(mean, end)
    assert averaged[1].num_batches_tracked == last[1].num_batches_tracked == recipe.steps


def test_the_average_of_one_step_by_hand() -> None:
    recipe = RECIPE.model_copy(update={"steps": 1, "average": 0.99})
    last, start = network(), network()
    averaged = trained(recipe, model=last).model
    # decay after one update: (1 + 1) / (10 + 1)
    expected = 2 / 11 * start[0].weight + 9 / 11 * last[0].weight
    torch.testing.assert_close(averaged[0].weight, expected.detach())


def test_clipping_bounds_the_step_of_sgd() -> None:
    recipe = RECIPE.model_copy(
        update={"steps": 1, "optimizer": "sgd", "lr": 1.0, "warmup": 0.0, "weight_decay": 0.0, "clip": 0.01}
    )
    start, moved = network(), network()
    trained(recipe, model=moved)
    moves = [(a - b).norm() for a, b in zip(start.parameters(), moved.parameters(), strict=True)]
    assert torch.stack(moves).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_only_matrices_and_filters_decay() -> None:
    recipe = RECIPE.model_copy(update={"steps": 1, "weight_decay": 0.5, "lr": 1.0, "warmup": 0.0, "optimizer": "sgd"})
    model = network()
    for parameter in model.parameters():
        parameter.register_hook(torch.zeros_like)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained(recipe, model=model)
    for name, parameter in model.named_parameters():
        factor = 0.5 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor, msg=name)


@pytest.mark.parametrize(
    ("schedule", "step", "fraction"),
    [
        ("cosine", 0, 0.1),
        ("cosine", 9, 1.0),
        ("cosine", 10, 1.0),
        ("cosine", 55, 0.5),
        ("poly", 55, 0.5**0.9),
        ("constant", 99, 1.0),
        ("constant", 4, 0.5),
    ],
)
def test_learning_rate(schedule: str, step: int, fraction: float) -> None:
    recipe = Recipe(steps=100, warmup=0.1, lr=2.0, schedule=schedule)  # type: ignore[arg-type]
    assert learning_rate(recipe, step) == pytest.approx(2.0 * fraction)


def test_every_epoch_visits_every_example_once() -> None:
    stream = shuffled(10, 4, torch.Generator().manual_seed(0))
    drawn = torch.cat([next(stream) for _ in range(5)])
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()


def test_progress_ends_with_the_last_step() -> None:
    calls: list[tuple[int, int, float]] = []
    result = trained(progress=lambda *call: calls.append(call))
    assert calls[-1][:2] == (12, 12)
    assert calls[-1][2] == result.curves["loss"][-1]
    assert len(calls) <= 2 + 2 * result.seconds


def test_lazy_layers_are_trained_from_the_seed_like_plain_ones() -> None:
    def lazy() -> nn.Module:
        return nn.Sequential(nn.LazyConv2d(8, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU(), nn.LazyConv2d(2, 1))

    recipe = RECIPE.model_copy(update={"steps": 40, "augment": False, "average": 0.9})
    results = [trained(recipe, model=lazy()) for _ in range(2)]
    assert same(results[0].model, results[1].model)
    assert isinstance(results[0].model[0], nn.Conv2d)
    losses = results[0].curves["loss"]
    assert losses[-5:].mean() < losses[0]


def test_no_return_value_of_a_network_is_used_in_training_and_evaluation() -> None:
    result = trained(RECIPE.model_copy(update={"average": 0.9}), model=Silent())
    assert predict(result.model, stripes().images, "cpu", 4).shape == (12, 16, 16)
