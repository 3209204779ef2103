"""A function, class, partial or network of the user, named by `file.py:NAME`, as an architecture.

Its named parameters are its axes, whether they are keyword-only or not. The annotation gives the type of an axis, and
where there is none the default value. A parameter that can be no axis keeps its default.
"""

from __future__ import annotations

import copy
import functools
import inspect
import io
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, get_args, get_origin

from bench.registry.axes import Axis, axis_of
from bench.registry.catalogue import CatalogueError, load, plugin_source
from bench.registry.entries import Architecture
from bench.registry.errors import RegistryError, suggestion

PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class OwnArchitecture(Architecture):
    """An architecture whose builder is not registered. `refused`: why a parameter can be no axis, by its name."""

    refused: Mapping[str, str] = field(default_factory=dict, hash=False)

    def resolve(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """All axes with values. Raises RegistryError for a parameter that can be no axis, with what to write."""
        for name in stated:
            if name in self.refused:
                raise RegistryError(f"'{self.name}': {self.refused[name]}")
        return super().resolve(stated)


def own_architecture(name: str) -> OwnArchitecture:
    """What `file.py:NAME` or `package.module:NAME` names; imports the module.

    Raises RegistryError where there is no such thing, where it builds nothing, and for a parameter without default
    that can be no axis.
    """
    where, _, attribute = name.rpartition(":")
    module = module_of(where)
    thing = named(module, attribute, where)
    if _is_network(thing):
        return OwnArchitecture(name, lambda: _copied(thing, name), module.__name__, (), task="", source=where)
    if not callable(thing):
        problem = f"is of type {type(thing).__name__}: name a function, a class or a torch.nn.Module"
        raise RegistryError(f"{name} {problem}{_offer(module)}")
    axes, refused = _axes(thing, attribute, module, name)
    return OwnArchitecture(name, _builder(thing, module), module.__name__, axes, task="", source=where, refused=refused)


def module_of(where: str) -> ModuleType:
    """The module that a file or a dotted name means. Raises RegistryError where there is none."""
    try:
        source = plugin_source(where)
    except CatalogueError:
        raise RegistryError(f"'{where}': there is no such file or module; a target is file.py:callable") from None
    return load(source)


def named(module: ModuleType, attribute: str, where: str) -> Any:
    """The attribute of a module, dots included (`Net.small`). Raises RegistryError with the nearest name."""
    owner: Any = module
    for part in attribute.split("."):
        if not hasattr(owner, part):
            raise RegistryError(f"'{where}' has no function '{attribute}'{suggestion(attribute, builders(module))}")
        owner = getattr(owner, part)
    return owner


def builders(module: ModuleType) -> list[str]:
    """The names in a module that may be targets: its own functions and classes, partials and networks."""
    return [name for name, thing in vars(module).items() if not name.startswith("_") and _may_build(thing, module)]


def _may_build(thing: Any, module: ModuleType) -> bool:
    own = getattr(thing, "__module__", None) == module.__name__
    return isinstance(thing, functools.partial) or _is_network(thing) or (own and callable(thing))


def _offer(module: ModuleType) -> str:
    names = builders(module)
    return f" (there is: {', '.join(names)})" if names else ""


def _is_network(thing: Any) -> bool:
    """Whether it is a torch.nn.Module; where torch is not imported yet, nothing is."""
    torch = sys.modules.get("torch")
    return hasattr(torch, "nn") and isinstance(thing, torch.nn.Module)  # type: ignore[union-attr]


def _copied(network: Any, name: str) -> Any:
    """A network of its own for each measurement. Raises RegistryError where it cannot be copied."""
    try:
        return _reloaded(network) if _is_scripted(network) else copy.deepcopy(network)
    except Exception as error:
        problem = f"cannot be copied ({type(error).__name__}): name a function that builds it anew"
        raise RegistryError(f"{name}: the network {problem}") from error


def _is_scripted(network: Any) -> bool:
    return isinstance(network, sys.modules["torch"].jit.ScriptModule)


def _reloaded(network: Any) -> Any:
    """A scripted network as it is after saving: its copy makes the objects of its children anew at each look."""
    jit, content = sys.modules["torch"].jit, io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch advises against scripts
        jit.save(network, content)
        content.seek(0)
        loaded = jit.load(content)
    for module in loaded.modules():
        getattr(module, "forward", None)  # becomes an attribute when it is first read
    return loaded


def _axes(
    thing: Callable[..., Any], attribute: str, module: ModuleType, name: str
) -> tuple[tuple[Axis, ...], dict[str, str]]:
    axes: list[Axis] = []
    refused: dict[str, str] = {}
    for parameter in _parameters(thing, name):
        axis = _axis(parameter, _names_of(thing, module))
        if axis is not None:
            axes.append(axis)
            continue
        refused[parameter.name] = _reason(parameter)
        if parameter.default is parameter.empty:
            instead = "" if _untyped(parameter) else f", or a function: def build(): return {attribute}(...)"
            raise RegistryError(f"{name}: {refused[parameter.name]}{instead}")
    return tuple(axes), refused


def _parameters(thing: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """The named parameters of a builder. Raises RegistryError for one that cannot be passed by its name."""
    try:
        parameters = list(inspect.signature(thing).parameters.values())
    except (TypeError, ValueError):  # a builtin
        return []
    for parameter in parameters:
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty:
            raise RegistryError(f"{name}: '{parameter.name}' cannot be passed by its name: remove the '/' behind it")
    return [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _names_of(thing: Any, module: ModuleType) -> dict[str, Any]:
    """The names that the annotations of a builder may use."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    function = inspect.unwrap(getattr(thing, "__init__", thing) if isinstance(thing, type) else thing)
    return getattr(function, "__globals__", vars(module))


def _axis(parameter: inspect.Parameter, names: dict[str, Any]) -> Axis | None:
    """The axis that a parameter is: by its annotation, else by its default; None where neither gives a type."""
    for annotation in (_evaluated(parameter.annotation, names), _type_of(parameter.default)):
        try:
            axis = axis_of(parameter, _as_tuple(annotation))
            axis = replace(axis, optional=axis.optional or axis.default is None)
            axis if axis.required else axis.parse(axis.default)
        except Exception:  # an annotation may be any object
            continue
        return replace(axis, default=tuple(axis.default)) if isinstance(axis.default, list) else axis
    return None


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)
    except Exception:  # a name that only type checkers import
        return inspect.Parameter.empty


def _as_tuple(annotation: Any) -> Any:
    """`tuple[int, ...]` for a list, a sequence or a tuple of fixed length of one type, which are axes as well."""
    origin, arguments = get_origin(annotation), [each for each in get_args(annotation) if each is not ...]
    if origin in (list, tuple, Sequence) and arguments and set(arguments) == {arguments[0]}:
        return tuple[arguments[0], ...]  # type: ignore[valid-type]
    return annotation


def _type_of(default: Any) -> Any:
    """The type of a default value, where values of it can be written."""
    if type(default) in PLAIN:
        return type(default)
    if type(default) in (tuple, list) and default and {type(each) for each in default} == {type(default[0])}:
        return tuple[type(default[0]), ...]  # type: ignore[misc]
    return inspect.Parameter.empty


def _untyped(parameter: inspect.Parameter) -> bool:
    return parameter.annotation is parameter.empty


def _reason(parameter: inspect.Parameter) -> str:
    """Why a parameter is no axis, and what to write."""
    name, default = parameter.name, parameter.default
    if _untyped(parameter) and default is parameter.empty:
        example = f"{name}: int (or float, bool, str)"
        return f"'{name}' has neither a default nor an annotation: write its type, such as {example}"
    if _untyped(parameter):
        hint = f"{name}: int | None = None" if default is None else f"{name}: int = 1"
        return f"'{name}' has no type, and {_shown(default)} gives none: write it, such as {hint}"
    annotation = parameter.annotation if isinstance(parameter.annotation, str) else _text(parameter.annotation)
    return f"'{name}' ({annotation}) is no axis: write int, float, bool, str, Literal[...] or tuple[..., ...]"


def _shown(default: Any) -> str:
    return "its default None" if default is None else f"its default of type {type(default).__name__}"


def _text(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _builder(thing: Callable[..., Any], module: ModuleType) -> Callable[..., Any]:
    """The builder, called with a list where it declares one (axes are tuples), and without what is at its default."""
    try:
        parameters = dict(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return thing
    names = _names_of(thing, module)
    lists = {name for name, p in parameters.items() if _takes_list(p, names)}

    def build(**axes: Any) -> Any:
        changed = {name: value for name, value in axes.items() if not _same(value, parameters[name].default)}
        return thing(**{name: list(v) if name in lists and isinstance(v, tuple) else v for name, v in changed.items()})

    return functools.wraps(thing)(build) if inspect.isroutine(thing) else build


def _same(value: Any, default: Any) -> bool:
    """Whether a value is the default, which then is left to the builder."""
    return value is default or (isinstance(default, list) and value == tuple(default))


def _takes_list(parameter: inspect.Parameter, names: dict[str, Any]) -> bool:
    return isinstance(parameter.default, list) or get_origin(_evaluated(parameter.annotation, names)) is list
