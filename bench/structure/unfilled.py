"""A network whose random weights are not drawn, for metrics that read its structure and no weight.

Drawing hundreds of millions of weights takes seconds; operator counts, graphs and receptive fields read none of them.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_EMPTY = (torch.ops.aten.empty.memory_format, torch.ops.aten.empty_strided.default)
_FILLS = (torch.ops.aten.zero_.default, torch.ops.aten.fill_.Scalar)
_NOTED = "_fovbench_unfilled"


def unfilled(build: Callable[[], Any]) -> torch.nn.Module | None:
    """The network of `build` with its randomly drawn, trained parameters on the meta device.

    Everything else (masks, tables, running statistics, frozen parameters) has its values. None if those depend on
    the random numbers: if the constructor computes with its weights, or draws a mask.
    """
    following = _Unfilled()
    try:
        with warnings.catch_warnings(), following:
            warnings.simplefilter("error")
            model = build()
    except Exception:  # the caller then builds with values, and gets the error or warning itself
        return None
    if not isinstance(model, torch.nn.Module) or following.drawn:
        return None
    with torch._C.DisableTorchFunction():  # parameters of lazy layers refuse this question
        trained = {p.untyped_storage()._cdata for p in model.parameters() if p.requires_grad}
    return model if following.alive() <= trained else None


class _ValuesNeededError(RuntimeError):
    """Random numbers would be written to memory that has values."""


class _Unfilled(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Creates empty and random tensors on the meta device.

    They have no values: a constructor that reads one raises, and results computed from them are on meta too.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storages: list[weakref.ref[Any]] = []
        self.drawn = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _writes_values_only(func, args) and args[0].is_meta:
            return args[0]
        tensors = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        random = torch.Tag.nondeterministic_seeded in func.tags
        if not tensors and (random or func in _EMPTY):
            kwargs = {**kwargs, "device": torch.device("meta"), "pin_memory": None, "generator": None}
            kwargs = {k: v for k, v in kwargs.items() if v is not None}
        elif random and not all(t.is_meta for t in tensors):
            self.drawn = True
            raise _ValuesNeededError(func)
        result = func(*args, **kwargs)
        self._note(result)
        return result

    def _note(self, result: Any) -> None:
        for t in pytree.tree_leaves(result):
            if isinstance(t, torch.Tensor) and t.is_meta and not hasattr(t.untyped_storage(), _NOTED):
                setattr(t.untyped_storage(), _NOTED, True)
                self.storages.append(weakref.ref(t.untyped_storage()))

    def alive(self) -> set[int]:
        """The storages without values that are still referenced."""
        return {storage._cdata for reference in self.storages if (storage := reference()) is not None}


def _writes_values_only(func: Any, args: Any) -> bool:
    """Whether an operator only fills a tensor, and cannot raise; on meta, torch takes milliseconds for nothing."""
    if func is torch.ops.aten.normal_.default:
        return len(args) < 3 or args[2] >= 0
    return func in _FILLS
