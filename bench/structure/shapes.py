"""Result shapes of operators whose meta kernels are missing, or slow because they are written in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

aten = torch.ops.aten
_CONVOLUTION: Any = aten.convolution.default


def _like(x: torch.Tensor) -> torch.Tensor:
    """`empty_like`, whose meta kernel is written in Python."""
    return torch.empty(x.shape, dtype=x.dtype, device="meta") if x.is_contiguous() else torch.empty_like(x)


def _convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    extra: Any,
    groups: int,
) -> torch.Tensor:
    """floor((n + 2p - d(k - 1) - 1) / s) + 1 for contiguous tensors; torch's kernel otherwise."""
    sizes = _positions(x, weight, stride, padding, dilation) if _plain(x, weight, groups) and not transposed else []
    if not sizes or min(sizes) < 1:
        result: torch.Tensor = _CONVOLUTION(x, weight, bias, stride, padding, dilation, transposed, extra, groups)
        return result
    return torch.empty((x.shape[0], weight.shape[0], *sizes), dtype=x.dtype, device="meta")


def _plain(x: torch.Tensor, weight: torch.Tensor, groups: int) -> bool:
    fits = x.dim() == weight.dim() and x.shape[1] == weight.shape[1] * groups and x.dtype is weight.dtype
    return fits and x.is_contiguous() and weight.is_contiguous()


def _positions(x: torch.Tensor, weight: torch.Tensor, stride: Any, padding: Any, dilation: Any) -> list[int]:
    """Output extents; empty if a parameter does not have one number per axis."""
    if not len(stride) == len(padding) == len(dilation) == weight.dim() - 2:
        return []
    axes = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes]


def _batch_norm(
    x: torch.Tensor, w: Any, b: Any, mean: Any, var: Any, training: bool, *rest: Any
) -> tuple[torch.Tensor, ...]:
    channels = x.shape[1] if training else 0
    saved = torch.empty((channels,), device="meta", dtype=x.dtype)
    return _like(x), saved, _like(saved)


def _layer_norm(x: torch.Tensor, shape: Any, *rest: Any) -> tuple[torch.Tensor, ...]:
    saved = torch.empty((*x.shape[: x.dim() - len(shape)], *[1] * len(shape)), device="meta", dtype=x.dtype)
    return torch.empty(x.shape, device="meta", dtype=x.dtype), saved, _like(saved)


def _group_norm(
    x: torch.Tensor, w: Any, b: Any, n: int, c: int, hw: int, groups: int, eps: float
) -> tuple[torch.Tensor, ...]:
    saved = torch.empty((n, groups), device="meta", dtype=x.dtype)
    return _like(x), saved, _like(saved)


def _resized(x: torch.Tensor, size: Any, *rest: Any) -> torch.Tensor:
    return torch.empty((*x.shape[:2], *size), device="meta", dtype=x.dtype)


def _binary(op: Any) -> Callable[..., torch.Tensor]:
    """The shape function of a binary operator: torch's own kernel for all but the common cases."""

    def result(a: Any, b: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        model = _result_like(a, b)
        tensor: torch.Tensor = op(a, b, *args, **kwargs) if model is None else _like(model)
        return tensor

    return result


def _result_like(a: Any, b: Any) -> torch.Tensor | None:
    """The operand with the result's shape and dtype, for contiguous floating operands; None in other cases."""
    if not isinstance(a, torch.Tensor) or not a.is_contiguous() or not a.dtype.is_floating_point:
        return None
    if isinstance(b, (int, float)):
        return a
    if not isinstance(b, torch.Tensor) or b.dtype is not a.dtype or not b.is_contiguous():
        return None
    if a.shape == b.shape or _broadcasts(b.shape, a.shape):
        return a
    return b if _broadcasts(a.shape, b.shape) else None


def _broadcasts(small: torch.Size, large: torch.Size) -> bool:
    """Whether a tensor of shape `small` broadcasts to shape `large`."""
    if len(small) > len(large) or not small:
        return False
    return all(s in (1, n) for s, n in zip(reversed(small), reversed(large)))


def _unary(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return _like(x)


def _fake_quantised(x: torch.Tensor, *rest: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return _like(x), torch.empty(x.shape, dtype=torch.bool, device="meta")


BINARY = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.mul.Scalar, aten.add.Scalar)
UNARY = ("relu", "sigmoid", "tanh", "silu", "gelu", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "_softmax")
FAKE_QUANTISED = (
    "fake_quantize_per_tensor_affine_cachemask",
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
    "fake_quantize_per_channel_affine_cachemask",
    "_fused_moving_avg_obs_fq_helper",
)

SHAPES: dict[Any, Callable[..., Any]] = {
    aten.convolution.default: _convolution,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_group_norm.default: _group_norm,
    **{op: _binary(op) for op in BINARY},
    **{getattr(aten, name).default: _unary for name in UNARY},
    **dict.fromkeys((getattr(aten, name).default for name in FAKE_QUANTISED), _fake_quantised),
    aten.upsample_nearest2d.default: _resized,
    aten.upsample_bilinear2d.default: _resized,
    aten.upsample_bicubic2d.default: _resized,
}
