"""How a network is trained: the values that a training run depends on, besides the network and the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WrapValidator, model_validator

from bench.spec.budget import budget_text, flops_of, seconds_of
from bench.spec.losses import AUTO, loss_text
from bench.spec.weights import NONE, weights_text

MOST = 10**9
"""The largest number of steps or examples."""


def _steps(value: Any, among_numbers: Callable[[Any], int]) -> int:
    """0 for `none`: no training."""
    return 0 if value == NONE else among_numbers(value)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _factors(value: Any) -> Any:
    """`{backbone: 0.1}` as `("backbone=0.1",)`. Raises ValueError for what is no pattern with a positive factor."""
    listed = value if isinstance(value, (list, tuple)) else [value]
    pairs = value.items() if isinstance(value, Mapping) else [str(text).rpartition("=")[::2] for text in listed]
    if not all(pattern and _is_factor(factor) for pattern, factor in pairs):
        raise ValueError("write patterns with positive factors, such as {backbone: 0.1}")
    return tuple(f"{pattern}={float(factor):g}" for pattern, factor in pairs)


def _is_factor(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 < float(value) < math.inf
    except (TypeError, ValueError):
        return False


class Recipe(BaseModel):
    """The `train:` section of an ablation. Frozen; what a training run depends on is part of its measurements' keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    steps: Annotated[int, Field(ge=1, le=MOST), WrapValidator(_steps)] = Field(
        default=400, description="optimizer steps; none: no training, the network is evaluated as it is"
    )
    budget: Annotated[str, AfterValidator(budget_text)] | None = Field(
        default=None,
        description="in place of steps: seconds of training (`60s`, `5m`, `2h`) or its FLOPs (`1e15 flops`)",
    )
    batch: int = Field(default=8, ge=1, le=MOST, description="examples per step")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=3e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(default=1e-2, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of sgd, or the first beta of adamw")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="fraction of the steps in which the rate rises")
    schedule: Literal["cosine", "constant", "poly"] = "cosine"
    average: float = Field(default=0.0, ge=0, lt=1, description="decay of the moving average of the weights; 0: none")
    clip: float = Field(default=0.0, ge=0, description="largest gradient norm; 0: no clipping")
    augment: bool = Field(default=True, description="whether the task augments the training examples")
    loss: Annotated[str, AfterValidator(loss_text)] = Field(
        default=AUTO,
        description="what is minimised: named losses of the task (`dice`, `cross_entropy+dice`), or a function "
        "`file.py:NAME` of (outputs, targets); auto: the network's own loss, else that of the task",
    )
    balance: float = Field(
        default=0.0, ge=0, le=1, description="weight of a class: its frequency to minus this power; 0: all equal"
    )
    mode: Literal["auto", "fp32", "bf16", "channels_last", "bf16+channels_last"] = Field(
        default="auto",
        description="auto: the fastest precision mode whose gradients agree with fp32 on this device, if trying repays",
    )
    execution: Literal["auto", "eager", "compile", "graph", "compile+graph"] = Field(
        default="auto",
        description="how a step is executed; a graph of the device or torch.compile where its gradients agree with "
        "those of the step call by call; auto: a graph on CUDA if trying repays, else call by call",
    )
    weights: Annotated[str | None, BeforeValidator(weights_text)] = Field(
        default=None, description="file of weights to begin with, instead of random ones; also `weights:` in the file"
    )
    freeze: Annotated[tuple[str, ...], BeforeValidator(_tuple)] = Field(
        default=(), description="patterns of names of parameters, or of modules, that are not trained: `[backbone]`"
    )
    lr_factors: Annotated[tuple[str, ...], BeforeValidator(_factors)] = Field(
        default=(), description="factors of the learning rate by patterns of names: `{backbone: 0.1}`"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, fields: Any) -> Any:
        """`steps: null` beside a budget takes the steps of a file away, on a command line."""
        if isinstance(fields, dict) and fields.get("budget") is not None and fields.get("steps", 0) is None:
            return {name: value for name, value in fields.items() if name != "steps"}
        return fields

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.budget is not None and "steps" in self.model_fields_set and self.trains:
            raise ValueError("give one of 'steps' and 'budget', and null for the other")
        return self

    @property
    def seconds(self) -> float | None:
        """The training time of a run, where the budget is one."""
        return seconds_of(self.budget) if self.budget and self.trains else None

    @property
    def flops(self) -> float | None:
        """The training FLOPs of a run, where the budget is one."""
        return flops_of(self.budget) if self.budget and self.trains else None

    @property
    def trains(self) -> bool:
        """Whether a network is trained at all."""
        return self.steps > 0

    @property
    def factors(self) -> dict[str, float]:
        """Pattern -> factor of the learning rate."""
        return {pattern: float(factor) for pattern, _, factor in (text.rpartition("=") for text in self.lr_factors)}

    def parts(self) -> dict[str, Any]:
        """What a trained network depends on; weights are named by their content, elsewhere in the key.

        Fields that joined later are left out at their defaults, so that the keys of older measurements stay; with a
        budget the steps are left out.
        """
        length = "budget" if self.budget is None else "steps"
        default = {name for name in LATER if getattr(self, name) == type(self).model_fields[name].default}
        fields = self.model_dump(exclude={"weights", length, *default})
        return fields if self.trains else {"steps": 0, "mode": self.mode}

    def stated(self) -> dict[str, Any]:
        """`parts`, and the weights as the file names them, where it does."""
        return {**self.parts(), **({"weights": self.weights} if self.weights else {})}


LATER = ("freeze", "lr_factors", "execution", "loss")
