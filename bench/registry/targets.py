"""The names of architectures that a user may write: registered ones, networks of zoos, own functions.

A registered name, `timm:NAME`, `torchvision:NAME` (classification or segmentation), or
`file.py:NAME` / `pkg.module:NAME`, a function, a class or a network (see `bench.registry.callables`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from bench.registry import Architecture, Axis, RegistryError
from bench.registry.callables import own_architecture
from bench.registry.catalogue import Source, declarations, live, plugin_source, source_of
from bench.registry.zoo import timm_models, torchvision_axes

ZOOS = ("timm", "torchvision")


def declared(name: str, plugins: Sequence[str] = ()) -> Architecture:
    """The architecture that `name` means. Raises RegistryError with the nearest name.

    Nothing is imported for registered names and for the zoos; `file:callable` is imported, and timm where its
    sources do not have the name. torchvision's axes are the plain parameters of its builders; timm's models have none.
    """
    head, colon, rest = name.partition(":")
    if not colon:
        return declarations(tuple(plugins)).architectures.get(name)
    if head in ZOOS:
        axes = torchvision_axes(rest) if head == "torchvision" else _timm_axes(rest)
        return Architecture(name, _not_live, head, axes, task="", source=f"{head}, {rest}")
    return own_architecture(name)


def runnable(name: str, plugins: Sequence[str] = ()) -> Architecture:
    """The same, able to build. Raises RegistryError for a name that the zoo does not have."""
    head, colon, rest = name.partition(":")
    entry = declared(name, plugins)
    if not colon:
        return live(entry, plugins)
    builder = {"timm": _timm, "torchvision": _torchvision}.get(head)
    if builder is None:
        return entry
    return replace(entry, call=builder(rest))


def source(entry: Architecture, plugins: Sequence[str] = ()) -> Source | None:
    """The project or user module that the entry stands in; None for a zoo, which has a version instead."""
    if entry.module in ZOOS:
        return None
    head, colon, _ = entry.name.rpartition(":")
    return plugin_source(head) if colon else source_of(entry, plugins)


def _not_live() -> Any:
    raise RuntimeError("this entry is a declaration; use targets.runnable")


def _timm_axes(name: str) -> tuple[Axis, ...]:
    """None. A dot divides the name from that of weights (`resnet50.a1_in1k`); for older names timm is imported."""
    if name.partition(".")[0] not in timm_models():
        import timm

        if not timm.is_model(name):
            raise RegistryError(f"timm has no model '{name}'{_near(name, timm_models())}")
    return ()


def _near(name: str, known: Collection[str]) -> str:
    """The most similar name as a hint, if it is similar enough: among so many names one always is to some degree."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f", did you mean '{near[0]}'?" if near else " (`timm.list_models()` names them)"


def _timm(name: str) -> Callable[[], Any]:
    import timm

    return lambda: timm.create_model(name, pretrained=False)


def _torchvision(name: str) -> Callable[..., Any]:
    from torchvision import models

    extra: dict[str, Any] = {"weights": None}
    if name in models.list_models(models.segmentation) or name in models.list_models(models.detection):
        extra["weights_backbone"] = None
    if any(axis.name == "init_weights" for axis in torchvision_axes(name)):
        extra["init_weights"] = True  # what None means, which warns
    return lambda **axes: models.get_model(name, **extra | {k: v for k, v in axes.items() if v is not None})
