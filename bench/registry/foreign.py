"""Networks of libraries and of the user's files as architectures: what they need to be compared with registered ones.

A registered architecture has a task, and axes whose names the datasets know. Any other network is *fitted*: it gets the
task of the ablation, its own argument for the number of classes (or joints) and of input channels is found by its
usual names, and an axis `output` says which of its outputs is scored (see `bench.registry.outputs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.registry import Architecture, Axis, RegistryError, resolve, suggestion

OUTPUT, FITTED = "output", "fitted_to"
"""The axes that fitting adds: the output that is scored, None for the one of the rule; and the task."""
ADDED = (OUTPUT, FITTED)

OUTPUT_AXIS = Axis(OUTPUT, "any", None, optional=True, examples=("out", "logits", -1))

CLASSES = ("classes", "num_classes", "n_classes", "num_labels", "n_labels")
USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "classes": CLASSES,
    "joints": ("joints", "num_joints", "n_joints", "num_keypoints", "keypoints", *CLASSES),
    "channels": ("in_channels", "in_chans", "input_channels", "n_channels", "num_channels"),
}
"""What a dataset requires -> the names that constructors give to the argument, the most specific ones first."""

USUAL_CHANNELS = 3
"""What networks for images take unless they are told."""


@dataclass(frozen=True)
class Foreign(Architecture):
    """A network of a library. A variant has only the arguments that its ablation names: the library's version stands
    for the defaults of all others.

    `axes` are the arguments that its source shows; where it is not `complete`, it may take others. The values have the
    order in which they are stated, so that a variant is the same where the library is not installed.
    """

    complete: bool = True

    def axis(self, name: str) -> Axis | None:
        axis = super().axis(name)
        return axis if axis or self.complete or not name.isidentifier() else Axis(name, "any", None, optional=True)

    def values(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        for name in stated:
            if self.axis(name) is None:
                hint = suggestion(name, [axis.name for axis in self.axes])
                raise RegistryError(f"'{self.name}' has no axis '{name}'{hint}")
        added = [axis.name for axis in self.axes if axis.name == FITTED]
        axes = [axis for name in dict.fromkeys([*stated, *added]) if (axis := self.axis(name)) is not None]
        return resolve(self.name, axes, stated)

    def defaults(self, names: Iterable[str]) -> dict[str, Any]:
        """The library's defaults of these axes. Raises RegistryError for one that its source does not show."""
        axes = [axis for name in names if (axis := self.axis(name)) is not None]
        hidden = next((axis.name for axis in axes if axis.required), None)
        if hidden is not None:
            message = f"'{self.name}' may have any default of '{hidden}'; state its value in 'baseline'"
            raise RegistryError(message)
        return {axis.name: axis.default for axis in axes}


def is_foreign(name: str) -> bool:
    """Whether an architecture's name is that of a network that nobody registered: `timm:NAME`, `file.py:callable`."""
    return ":" in name


def fitted(entry: Architecture, task: str) -> Architecture:
    """The same network for a task; an axis `output` where its constructor has no argument of that name."""
    if not task:
        return entry
    added = [OUTPUT_AXIS, Axis(FITTED, "str", task)]
    own = {axis.name for axis in entry.axes}
    return replace(entry, task=task, axes=(*entry.axes, *(axis for axis in added if axis.name not in own)))


def is_fitted(entry: Architecture) -> bool:
    """Whether the axis `output` says which output of a network is scored."""
    return is_foreign(entry.name) and OUTPUT_AXIS in entry.axes


def required(entry: Architecture, requires: Mapping[str, Any], channels: int | None) -> dict[str, Any]:
    """The arguments of a network, by its own names, for what a dataset requires and for its `channels`.

    An argument that it does not have is left out, and so are input channels that it has by default.
    """
    if not is_foreign(entry.name):
        return {name: value for name, value in requires.items() if entry.axis(name) is not None}
    wanted = {_argument(entry, name): value for name, value in requires.items()}
    argument = _argument(entry, "channels")
    default = next((axis.default for axis in entry.axes if axis.name == argument), None)
    if channels is not None and channels != (default if isinstance(default, int) else USUAL_CHANNELS):
        wanted[argument] = channels
    return {name: value for name, value in wanted.items() if name}


def _argument(entry: Architecture, name: str) -> str:
    """The argument of a constructor for what a dataset calls `name`; empty where it has none."""
    own = {axis.name for axis in entry.axes}
    return next((usual for usual in USUAL_NAMES.get(name, (name,)) if usual in own), "")
