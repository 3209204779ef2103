"""The identity of a network's own loss: its code, and the values that the code reads.

A loss needs targets, so it is not part of a recording. Two networks that differ only in their loss (squared error or
cross-entropy, the weight of an auxiliary head) are still different networks.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

PLAIN = (int, float, complex, str, bytes, bool, type(None), type(...))


def objective(model: Any) -> str:
    """Digest of `model.loss` in hex: its functions and the attributes that they read; empty without a loss.

    Attributes that no function of the loss reads, and values of parameters, do not count.
    """
    loss = getattr(model, "loss", None)
    return "" if loss is None else hashlib.sha256(repr(_identity(loss, ())).encode()).hexdigest()


def _identity(value: Any, above: tuple[int, ...]) -> Any:
    """A value as nested plain values, which identify it; `above`: ids of the objects that contain it."""
    if isinstance(value, PLAIN):
        return value
    if id(value) in above:
        return "itself"
    inside = (*above, id(value))
    if isinstance(value, (tuple, list, set, frozenset)):
        return [_identity(v, inside) for v in (value if isinstance(value, (tuple, list)) else sorted(value, key=repr))]
    if isinstance(value, Mapping):
        return [(str(k), _identity(v, inside)) for k, v in value.items()]
    if isinstance(value, functools.partial):
        return [_identity(v, inside) for v in (value.func, value.args, value.keywords)]
    if isinstance(value, types.MethodType) and isinstance(value.__func__, types.FunctionType):
        return _function(value.__func__, value.__self__, inside)
    if isinstance(value, types.FunctionType):
        return _function(value, None, inside)
    return _object(value, inside)


def _object(value: Any, above: tuple[int, ...]) -> Any:
    """An object by its type and by what its call reads; an object of torch by its `repr`."""
    kind = type(value)
    type_name = f"{kind.__module__}.{kind.__qualname__}"
    calls = _calls(kind)
    if _of_torch(kind):
        return [type_name, repr(value) if calls else str(getattr(value, "shape", ""))]
    own = next((call for call in calls if not _of_torch(call)), None)
    if own is not None:
        return [type_name, _function(own, value, above)]
    names = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
    names = sorted({*names, *getattr(value, "__dict__", ())})
    return [type_name, [(name, _identity(getattr(value, name), above)) for name in names]]


def _calls(kind: type) -> list[types.FunctionType]:
    """The functions `forward` and `__call__` of a class and its bases."""
    methods = [vars(base)[name] for name in ("forward", "__call__") for base in kind.__mro__ if name in vars(base)]
    return [method for method in methods if isinstance(method, types.FunctionType)]


def _of_torch(kind: type | types.FunctionType) -> bool:
    return kind.__module__.partition(".")[0] == "torch"


def _function(function: types.FunctionType, owner: Any, above: tuple[int, ...]) -> Any:
    """A function by name, bytecode, constants, closure, and the attributes of `owner` (its `self`) that it reads."""
    inside = (*above, id(function))
    codes = list(_codes(function.__code__))
    constants = [c for code in codes for c in code.co_consts if isinstance(c, PLAIN) and c != function.__doc__]
    closure = [cell.cell_contents for cell in function.__closure__ or () if cell.cell_contents is not owner]
    return [
        function.__module__,
        function.__qualname__,
        _bytecode(codes),
        constants,
        _identity(closure, inside),
        _attributes(owner, codes, inside),
    ]


def _bytecode(codes: list[types.CodeType]) -> str:
    return hashlib.sha256(repr([(code.co_code, code.co_names) for code in codes]).encode()).hexdigest()


def _attributes(owner: Any, codes: list[types.CodeType], above: tuple[int, ...]) -> list[tuple[str, Any]]:
    """The attributes of `owner` that the code names."""
    names = sorted({name for code in codes for name in code.co_names}) if owner is not None else []
    return [(name, _attribute(owner, name, above)) for name in names]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function, and of the functions defined inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)


def _attribute(owner: Any, name: str, above: tuple[int, ...]) -> Any:
    """The identity of `owner.name`, of a method with what it reads; "" if `owner` has no such attribute."""
    attribute = getattr(type(owner), name, None)
    method = attribute.fget if isinstance(attribute, property) else attribute
    if isinstance(method, types.FunctionType):
        return name if id(method) in above or _of_torch(method) else _function(method, owner, above)
    return _identity(getattr(owner, name), above) if hasattr(owner, name) else ""
