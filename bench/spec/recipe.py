"""How a network is trained: the values that a training run depends on, besides the network and the data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MOST = 10**9
"""The largest number of steps or examples."""


class Recipe(BaseModel):
    """The `train:` section of an ablation. Frozen; every field is part of the key of an accuracy measurement."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    steps: int = Field(default=400, ge=1, le=MOST, description="optimizer steps")
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
