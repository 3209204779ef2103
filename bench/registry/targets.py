"""The names of architectures that a user may write: registered ones, networks of zoos, own functions.

A registered name, `timm:NAME`, `torchvision:NAME`, `smp:NAME` (of segmentation_models_pytorch), or
`file.py:NAME` / `pkg.module:NAME`, a function, a class or a network (see `bench.registry.callables`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from bench.registry import Architecture, Axis, RegistryError, text_of
from bench.registry.callables import own_architecture
from bench.registry.catalogue import Source, declarations, live, plugin_source, source_of
from bench.registry.foreign import ADDED, FITTED, OUTPUT, Foreign
from bench.registry.signatures import Arguments
from bench.registry.zoo import LIBRARY, WEIGHTS, smp_arguments, timm_arguments, timm_models, torchvision_arguments

ZOOS = tuple(LIBRARY)


def declared(name: str, plugins: Sequence[str] = ()) -> Architecture:
    """The architecture that `name` means. Raises RegistryError with the nearest name.

    Nothing is imported for registered names and for the zoos; `file:callable` is imported, and timm where its
    sources do not have the name. The axes of a zoo's network are the arguments that its builder takes.
    """
    head, colon, rest = name.partition(":")
    if not colon:
        return declarations(tuple(plugins)).architectures.get(name)
    if head in ZOOS:
        taken = _taken(head, rest)
        axes = tuple(taken.axes.values())
        return Foreign(name, _not_live, head, axes, "", f"{LIBRARY[head]}, {rest}", complete=taken.complete)
    return own_architecture(name)


def _taken(zoo: str, name: str) -> Arguments:
    """The arguments of a network of a zoo. Raises RegistryError for a name that it does not have."""
    if zoo == "timm":
        return _timm_arguments(name)
    return smp_arguments(name) if zoo == "smp" else torchvision_arguments(name)


def runnable(name: str, plugins: Sequence[str] = ()) -> Architecture:
    """The same, able to build. Raises RegistryError for a name that the zoo does not have."""
    head, colon, rest = name.partition(":")
    entry = declared(name, plugins)
    if not colon:
        return live(entry, plugins)
    builders: dict[str, Callable[[str], Callable[..., Any]]] = {"timm": _timm, "torchvision": _torchvision, "smp": _smp}
    call = builders[head](rest) if head in builders else entry.call
    own = {axis.name for axis in entry.axes}
    added = tuple(Axis(axis, "any", None, optional=True) for axis in ADDED if axis not in own)
    return replace(entry, call=_fitting(name, call, {axis.name for axis in added}), axes=(*entry.axes, *added))


def _fitting(name: str, build: Callable[..., Any], added: Set[str]) -> Callable[..., Any]:
    """The builder with the axes that fitting to a task has `added` (see `bench.registry.foreign`)."""

    def built(**axes: Any) -> Any:
        how = {axis: axes.pop(axis, None) for axis in added}
        network, task = _loaded(name, build, axes), how.get(FITTED)
        if not task:
            return network
        from bench.registry.outputs import fit

        return fit(network, task, how.get(OUTPUT))

    return built


def _loaded(name: str, build: Callable[..., Any], axes: Mapping[str, Any]) -> Any:
    """The network. Raises RegistryError where its trained weights cannot be had, such as without a network.

    The weights `none` of a zoo are no weights: so names of variants and tables write `null`.
    """
    if name.partition(":")[0] not in ZOOS:
        return build(**axes)
    axes = {axis: None if axis in WEIGHTS and value == "none" else value for axis, value in axes.items()}
    weights = [f"{axis}={text_of(axes[axis])}" for axis in WEIGHTS if axes.get(axis)]
    if not weights:
        return build(**axes)
    stated = f"{name}: its weights ({', '.join(weights)})"
    if stated in _MISSING:
        raise RegistryError(_MISSING[stated])
    try:
        return build(**axes)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0].rstrip(". ")
        advice = "load them once where there is a connection, into the library's cache, or leave them out"
        _MISSING[stated] = f"{stated} cannot be had; {advice} ({type(error).__name__}: {first})"
        raise RegistryError(_MISSING[stated]) from error


_MISSING: dict[str, str] = {}
"""Weights that this process could not get -> why; a library tries for a minute before it gives up."""


def source(entry: Architecture, plugins: Sequence[str] = ()) -> Source | None:
    """The project or user module that the entry stands in; None for a zoo, which has a version instead."""
    if entry.module in ZOOS:
        return None
    head, colon, _ = entry.name.rpartition(":")
    return plugin_source(head) if colon else source_of(entry, plugins)


def _not_live() -> Any:
    raise RuntimeError("this entry is a declaration; use targets.runnable")


def _timm_arguments(name: str) -> Arguments:
    """A dot divides the name from that of weights (`resnet50.a1_in1k`); for older names timm is imported."""
    plain = name.partition(".")[0]
    if plain not in timm_models():
        import timm

        if not timm.is_model(name):
            raise RegistryError(f"timm has no model '{name}'{_near(name, timm_models())}")
    return timm_arguments(plain)


def _near(name: str, known: Collection[str]) -> str:
    """The most similar name as a hint, if it is similar enough: among so many names one always is to some degree."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f", did you mean '{near[0]}'?" if near else " (`timm.list_models()` names them)"


def _timm(name: str) -> Callable[..., Any]:
    import timm

    return lambda **axes: timm.create_model(name, **axes)


def _torchvision(name: str) -> Callable[..., Any]:
    from torchvision import models

    taken = torchvision_arguments(name).axes
    untrained: dict[str, Any] = {axis: None for axis in WEIGHTS if axis in taken}
    if "init_weights" in taken:
        untrained["init_weights"] = True  # what None means, which warns
    return lambda **axes: models.get_model(name, **untrained | axes)


def _smp(name: str) -> Callable[..., Any]:
    try:
        import segmentation_models_pytorch as smp
    except ImportError:
        message = f"smp:{name} is of segmentation_models_pytorch, which is not installed: pip install fovbench[smp]"
        raise RegistryError(message) from None
    builder: Callable[..., Any] = getattr(smp, name)
    untrained = {axis: None for axis in WEIGHTS if axis in smp_arguments(name).axes}
    return lambda **axes: builder(**untrained | axes)
