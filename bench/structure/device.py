"""Function modes for a recording: tensors on the meta device look as if they were on the device of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

META = torch.device("meta")


def _getter(name: str) -> Any:
    """What `__torch_function__` receives for a property of a tensor."""
    return getattr(torch.Tensor, name).__get__


_ANSWERS: Mapping[Any, Callable[[torch.device], Any]] = {
    _getter("device"): lambda device: device,
    _getter("is_cuda"): lambda device: device.type == "cuda",
    _getter("is_cpu"): lambda device: device.type == "cpu",
    _getter("is_meta"): lambda device: device.type == "meta",
    torch.Tensor.get_device: lambda device: -1 if device.type == "cpu" else device.index or 0,
}
_INDEXING = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
_TABLES = (torch.tensor, torch.as_tensor)


class RunDevice(TorchFunctionMode):
    """Translates between the device of the run and the meta device.

    `x.device` and its kin are answered with the device of the run, so that a network which asks for it runs as it
    will later (`torch.autocast(x.device.type)`). A `torch.device` equal to it among arguments is replaced by meta.
    Numbers in lists (an index, `torch.tensor`) become tensors with data, because on the meta device they would be lost.
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.device = torch.device(device)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _ANSWERS:
            return _ANSWERS[func](self.device)
        if func in _INDEXING:
            return func(args[0], _indices(args[1]), *args[2:])
        if func in _TABLES and not isinstance(args[0] if args else None, torch.Tensor):
            return func(*args, **{**(kwargs or {}), "device": None})
        args = tuple(self._translated(a) if type(a) is torch.device else a for a in args)
        return func(*args, **{name: self._translated(value) for name, value in (kwargs or {}).items()})

    def _translated(self, value: Any) -> Any:
        return META if type(value) is torch.device and value == self.device else value


def _indices(index: Any) -> Any:
    """Lists in an index as tensors."""
    if isinstance(index, tuple):
        return tuple(torch.tensor(i) if isinstance(i, list) else i for i in index)
    return torch.tensor(index) if isinstance(index, list) else index


@contextmanager
def plain_attention() -> Iterator[None]:
    """Turns off torch's fused attention layers, which are one operator each and have no kernel on the meta device."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
