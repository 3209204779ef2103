"""Output shapes of operators whose own meta kernels are slow (they are written in Python)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

aten = torch.ops.aten


def _like(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return torch.empty_like(x)


def _batch_norm(
    x: torch.Tensor, w: Any, b: Any, mean: Any, var: Any, training: bool, *rest: Any
) -> tuple[torch.Tensor, ...]:
    channels = x.shape[1] if training else 0
    saved = torch.empty((channels,), device="meta", dtype=x.dtype)
    return torch.empty_like(x), saved, torch.empty_like(saved)


def _layer_norm(x: torch.Tensor, shape: Any, *rest: Any) -> tuple[torch.Tensor, ...]:
    saved = torch.empty((*x.shape[: x.dim() - len(shape)], *[1] * len(shape)), device="meta", dtype=x.dtype)
    return torch.empty(x.shape, device="meta", dtype=x.dtype), saved, torch.empty_like(saved)


def _group_norm(
    x: torch.Tensor, w: Any, b: Any, n: int, c: int, hw: int, groups: int, eps: float
) -> tuple[torch.Tensor, ...]:
    saved = torch.empty((n, groups), device="meta", dtype=x.dtype)
    return torch.empty_like(x), saved, torch.empty_like(saved)


def _resized(x: torch.Tensor, size: Any, *rest: Any) -> torch.Tensor:
    return torch.empty((*x.shape[:2], *size), device="meta", dtype=x.dtype)


SHAPES: dict[Any, Callable[..., Any]] = {
    aten.native_batch_norm.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_group_norm.default: _group_norm,
    aten.gelu.default: _like,
    aten.silu.default: _like,
    aten.hardtanh.default: _like,
    aten.upsample_nearest2d.default: _resized,
    aten.upsample_bilinear2d.default: _resized,
    aten.upsample_bicubic2d.default: _resized,
}
