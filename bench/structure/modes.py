"""Changes of a network's mode and dtype that hold for networks whose own methods return nothing or convert too much."""

from __future__ import annotations

import torch

COMPLEX = {torch.float64: torch.complex128, torch.float32: torch.complex64}
"""The complex dtype of the same precision; for other dtypes complex tensors stay as they are."""


def in_eval(model: torch.nn.Module) -> torch.nn.Module:
    """The same network in eval mode. (Where a network's `train()` returns None, as many do, so does `eval()`.)

    An exported program refuses the call and always runs as it was exported; the other parts are set all the same.
    """
    try:
        model.eval()
    except NotImplementedError:
        for module in model.modules():
            module.training = False
    return model


def in_training(model: torch.nn.Module) -> torch.nn.Module:
    """The same network in training mode, whatever its `train()` returns."""
    model.train()
    return model


def moved(
    model: torch.nn.Module, device: str | None = None, layout: torch.memory_format | None = None
) -> torch.nn.Module:
    """The same network on a device and in a memory layout, whatever its `to()` returns."""
    if device is not None:
        model.to(device)
    if layout is not None:
        model.to(memory_format=layout)
    return model


def in_precision(model: torch.nn.Module, dtype: torch.dtype, device: str | None = None) -> torch.nn.Module:
    """The same network with its floating tensors in `dtype` and complex ones in the complex dtype of that precision.

    `Module.to(dtype)` would take the imaginary parts of complex weights away. `device`: where to move all tensors.
    """

    def converted(t: torch.Tensor) -> torch.Tensor:
        kind = dtype if t.is_floating_point() else COMPLEX.get(dtype, t.dtype) if t.is_complex() else t.dtype
        return t.to(device or t.device, kind)

    tensors = (*model.parameters(), *model.buffers())
    if not any(t.is_complex() for t in tensors):
        model.to(dtype) if device is None else model.to(device, dtype)
        return model
    model._apply(converted)  # type: ignore[no-untyped-call]
    return model
