"""Lazy layers (`nn.LazyConv2d`): their parameters get shapes and values in one pass on the meta device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map_only

from bench.structure.device import RunDevice, plain_attention
from bench.structure.modes import in_eval
from bench.structure.nodes import StructureError
from bench.structure.twins import twin


def has_lazy_parts(model: torch.nn.Module) -> bool:
    """Whether a parameter or buffer of the network has no shape yet."""
    return any(is_lazy(t) for group in _groups(model) for t in group.values())


def _groups(model: torch.nn.Module) -> Iterator[dict[str, Any]]:
    """The parameters and the buffers of each module by name."""
    for module in model.modules():
        yield module._parameters
        yield module._buffers


def _tensors(module: torch.nn.Module) -> list[Any]:
    return [*module._parameters.values(), *module._buffers.values()]


def _on_meta_without_shape(t: torch.Tensor) -> torch.Tensor:
    if isinstance(t, UninitializedParameter):
        return UninitializedParameter(requires_grad=t.requires_grad, device="meta", dtype=t.dtype)  # type: ignore[call-arg]
    return UninitializedBuffer(device="meta", dtype=t.dtype)  # type: ignore[call-arg]


def materialised_copy(model: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> torch.nn.Module:
    """A copy of `model` whose lazy layers have their parameters, without values on the meta device."""
    model = copy.deepcopy(model)
    for group in _groups(model):
        group.update({name: _on_meta_without_shape(t) for name, t in group.items() if is_lazy(t)})
    materialise(model, inputs)
    return model


def materialise(model: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> None:
    """Give the lazy layers of `model` their parameters, from one pass of `inputs` (any device) on the meta device.

    Each parameter is created on the device of its layer and initialised by torch's current generator, in the order in
    which the layers run. Raises StructureError if the network cannot run on these inputs, or a layer stays lazy.
    """
    lazy = [m for m in model.modules() if isinstance(m, LazyModuleMixin)]
    training = [(m, m.training) for m in model.modules()]
    try:
        in_eval(model)
        with ExitStack() as stack:
            for layer in lazy:
                stack.callback(_restore, layer, _with_data(layer))
            for context in (torch.no_grad(), plain_attention(), RunDevice(), _OnMeta()):  # type: ignore[no-untyped-call]
                stack.enter_context(context)
            model(*map(twin, inputs))
    except StructureError:
        raise
    except Exception as error:
        raise StructureError(f"lazy layers get no shapes: the network does not run on meta ({error})") from error
    finally:
        for module, mode in training:
            module.training = mode
    unused = sorted(path for path, module in model.named_modules() if any(map(is_lazy, _tensors(module))))
    if unused:
        raise StructureError(f"the lazy layer '{unused[0]}' gets no shape: the forward pass does not use it")


def _with_data(layer: Any) -> Callable[..., None]:
    """Let a layer initialise its parameters outside of all modes; returns the method that was replaced."""
    initialise: Callable[..., None] = layer.initialize_parameters

    def outside(*args: Any, **kwargs: Any) -> None:
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            initialise(*args, **kwargs)

    layer.__dict__["initialize_parameters"] = outside
    return initialise


def _restore(layer: Any, initialise: Callable[..., None]) -> None:
    layer.__dict__.pop("initialize_parameters", None)


class _OnMeta(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs every operator on the meta device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            args, kwargs = tree_map_only(torch.Tensor, _on_meta, (args, kwargs or {}))
            if any(argument.name == "device" for argument in func._schema.arguments):
                kwargs = {**kwargs, "device": torch.device("meta"), "pin_memory": None}
            return func(*args, **kwargs)


def _on_meta(t: torch.Tensor) -> torch.Tensor:
    return t if t.is_meta else twin(t)
