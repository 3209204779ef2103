"""A variant: one network of an architecture family, with a value for every axis, and the settings that vary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.registry import text_of

SETTINGS = ("train.", "workload.", "dataset.")
"""How the name of a setting begins; see `bench.spec.settings`."""


def setting_names(names: Iterable[Any]) -> list[str]:
    """Those of the names that are settings and not axes of a network, which are parameters of Python."""
    return [name for name in names if isinstance(name, str) and name.startswith(SETTINGS)]


@dataclass(frozen=True)
class Variant:
    """One network of a family: every axis with its value, in the order of the builder's signature.

    After these come the settings that the ablation names (`train.lr`, `workload.batch`, `dataset.noise`). `stated` are
    the axes that the ablation names: those of its baseline, and those that vary. All other axes have their defaults, so
    the name determines the variant.
    """

    architecture: str
    axes: tuple[tuple[str, Any], ...]
    stated: tuple[str, ...] = field(default=(), compare=False)

    @property
    def values(self) -> dict[str, Any]:
        """Axis of the network -> value: the arguments of its builder."""
        return {axis: value for axis, value in self.axes if not axis.startswith(SETTINGS)}

    @property
    def settings(self) -> dict[str, Any]:
        """Setting -> value; empty where the ablation names none."""
        return {axis: value for axis, value in self.axes if axis.startswith(SETTINGS)}

    @property
    def texts(self) -> dict[str, str]:
        """The stated axes with their values as text, in the order of the builder's signature."""
        return {axis: text_of(value) for axis, value in self.axes if axis in self.stated}

    @cached_property
    def name(self) -> str:
        """Canonical: `fcn(stride=8,skips=true)`."""
        inner = ",".join(f"{axis}={text}" for axis, text in self.texts.items())
        return f"{self.architecture}({inner})" if inner else self.architecture
