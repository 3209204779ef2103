"""What a network's own loss is: its code, and the values that this code reads.

A loss needs targets, so it stands on no recording of the network; two networks that differ in it alone (squared
error or cross-entropy, the weight of an auxiliary head) are still not the same.
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
    """Digest of `model.loss` in hex: its functions, and the attributes that they name; empty where it has none.

    An attribute that no function of the loss names is no part of it, nor are values of parameters.
    """
    loss = getattr(model, "loss", None)
    return "" if loss is None else hashlib.sha256(repr(_told(loss, ())).encode()).hexdigest()


def _told(value: Any, above: tuple[int, ...]) -> Any:
    """What tells a value from another one: plain values, nested; `above` are the objects that it is part of."""
    if isinstance(value, PLAIN):
        return value
    if id(value) in above:
        return "itself"
    inside = (*above, id(value))
    if isinstance(value, (tuple, list, set, frozenset)):
        return [_told(v, inside) for v in (value if isinstance(value, (tuple, list)) else sorted(value, key=repr))]
    if isinstance(value, Mapping):
        return [(str(k), _told(v, inside)) for k, v in value.items()]
    if isinstance(value, functools.partial):
        return [_told(v, inside) for v in (value.func, value.args, value.keywords)]
    if isinstance(value, types.MethodType) and isinstance(value.__func__, types.FunctionType):
        return _function(value.__func__, value.__self__, inside)
    if isinstance(value, types.FunctionType):
        return _function(value, None, inside)
    return _object(value, inside)


def _object(value: Any, above: tuple[int, ...]) -> Any:
    """An object by its type and, where it is called, by what that reads; a library's by what it prints of itself."""
    kind = type(value)
    found = [vars(base)[name] for name in ("forward", "__call__") for base in kind.__mro__ if name in vars(base)]
    calls = [call for call in found if isinstance(call, types.FunctionType)]
    told = f"{kind.__module__}.{kind.__qualname__}"
    if _of_torch(kind):
        return [told, repr(value) if calls else str(getattr(value, "shape", ""))]
    own = next((call for call in calls if not _of_torch(call)), None)
    if own is not None:
        return [told, _function(own, value, above)]
    names = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
    return [told, [(n, _told(getattr(value, n), above)) for n in sorted({*names, *getattr(value, "__dict__", ())})]]


def _of_torch(kind: type | types.FunctionType) -> bool:
    return kind.__module__.partition(".")[0] == "torch"


def _function(function: types.FunctionType, owner: Any, above: tuple[int, ...]) -> Any:
    inside = (*above, id(function))
    codes = list(_codes(function.__code__))
    held = [cell.cell_contents for cell in function.__closure__ or () if cell.cell_contents is not owner]
    reads = sorted({name for code in codes for name in code.co_names}) if owner is not None else []
    found = [(name, _attribute(owner, name, inside)) for name in reads]
    consts = [c for code in codes for c in code.co_consts if isinstance(c, PLAIN) and c != function.__doc__]
    code = hashlib.sha256(repr([(code.co_code, code.co_names) for code in codes]).encode()).hexdigest()
    return [function.__module__, function.__qualname__, code, consts, _told(held, inside), found]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The function's code, and that of what is defined inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)


def _attribute(owner: Any, name: str, above: tuple[int, ...]) -> Any:
    """What `self.name` is to a function of `owner`, "" where the name is not its: told, methods with what they read."""
    found = getattr(type(owner), name, None)
    found = found.fget if isinstance(found, property) else found
    if isinstance(found, types.FunctionType):
        return name if id(found) in above or _of_torch(found) else _function(found, owner, above)
    return _told(getattr(owner, name), above) if hasattr(owner, name) else ""
