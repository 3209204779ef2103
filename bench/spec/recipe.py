"""How a network is trained: the values that a training run depends on, besides the network and the data."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bench.spec.budget import budget_text, flops_of, seconds_of

MOST = 10**9
"""The largest number of steps or examples."""


class Recipe(BaseModel):
    """The `train:` section of an ablation. Frozen; every field is part of the key of an accuracy measurement."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    steps: int = Field(default=400, ge=1, le=MOST, description="optimizer steps")
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
    balance: float = Field(
        default=0.0, ge=0, le=1, description="weight of a class: its frequency to minus this power; 0: all equal"
    )
    mode: Literal["auto", "fp32", "bf16", "channels_last", "bf16+channels_last"] = Field(
        default="auto",
        description="auto: the fastest precision mode whose gradients agree with fp32 on this device, if trying repays",
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
        if self.budget is not None and "steps" in self.model_fields_set:
            raise ValueError("give one of 'steps' and 'budget', and null for the other")
        return self

    @property
    def seconds(self) -> float | None:
        """The training time of a run, where the budget is one."""
        return seconds_of(self.budget) if self.budget else None

    @property
    def flops(self) -> float | None:
        """The training FLOPs of a run, where the budget is one."""
        return flops_of(self.budget) if self.budget else None

    def parts(self) -> dict[str, Any]:
        """What a trained network depends on. Without a budget the field is left out, with one the steps are."""
        return self.model_dump(exclude={"budget"} if self.budget is None else {"steps"})
