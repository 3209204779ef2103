"""What a user may name where an architecture is wanted.

A registered name, `timm:NAME`, `torchvision:NAME` (classification or segmentation), or
`file.py:callable` / `pkg.module:callable`, a function whose keyword-only parameters are its axes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from bench.catalogue import Source, declarations, live, load, plugin_source, source_of
from bench.registry import Architecture, RegistryError, axes_of, suggestion

ZOOS = ("timm", "torchvision")


def declared(name: str, plugins: Sequence[str] = ()) -> Architecture:
    """The architecture that `name` means. Raises RegistryError with the nearest name.

    Nothing is imported for registered names and for the zoos; `file:callable` is imported.
    """
    head, colon, rest = name.partition(":")
    if not colon:
        return declarations(tuple(plugins)).architectures.get(name)
    if head in ZOOS:
        return Architecture(name, _not_live, head, (), task="", source=f"{head}, {rest}")
    return _callable(name, plugins)


def runnable(name: str, plugins: Sequence[str] = ()) -> Architecture:
    """The same, able to build. Raises RegistryError for a name that the zoo does not have."""
    head, colon, rest = name.partition(":")
    entry = declared(name, plugins)
    if not colon:
        return live(entry, plugins)
    builder = {"timm": _timm, "torchvision": _torchvision}.get(head)
    if builder is None:
        return entry
    return Architecture(name, builder(rest), head, (), task=entry.task, source=entry.source)


def source(entry: Architecture, plugins: Sequence[str] = ()) -> Source | None:
    """The project or user module that the entry stands in; None for a zoo, which has a version instead."""
    if entry.module in ZOOS:
        return None
    head, colon, _ = entry.name.rpartition(":")
    return plugin_source(head) if colon else source_of(entry, plugins)


def _not_live() -> Any:
    raise RuntimeError("this entry is a declaration; use targets.runnable")


def _callable(name: str, plugins: Sequence[str]) -> Architecture:
    where, _, function = name.rpartition(":")
    module = load(plugin_source(where))
    found = getattr(module, function, None)
    if not callable(found):
        known = [n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_")]
        raise RegistryError(f"'{where}' has no function '{function}'{suggestion(function, known)}")
    try:
        axes = axes_of(found)
    except TypeError as error:
        raise RegistryError(f"{name}: {error}") from None
    return Architecture(name, found, module.__name__, axes, task="", source=where)


def _timm(name: str) -> Callable[[], Any]:
    import timm

    if not timm.is_model(name):
        raise RegistryError(f"timm has no model '{name}'{suggestion(name, timm.list_models())}")
    return lambda: timm.create_model(name, pretrained=False)


def _torchvision(name: str) -> Callable[[], Any]:
    from torchvision import models

    known = [n for n in models.list_models() if not n.startswith(("quantized", "raft"))]
    if name not in known:
        raise RegistryError(f"torchvision has no model '{name}'{suggestion(name, known)}")
    extra = {"weights": None}
    if name in models.list_models(models.segmentation) or name in models.list_models(models.detection):
        extra["weights_backbone"] = None
    return lambda: models.get_model(name, **extra)
