"""The settings under which a number was measured: what must agree before two numbers may be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bench.registry.entries import FRACTION
from bench.spec.numeric import ANYWHERE, DEFAULTS

CONDITIONS = (
    "task", "dataset", "fingerprint", "shape", "recipe", "batch", "dtype", "device", "threads", "layout", "compile",
    "graph", "numeric", "held_back", "machine", "clock", "weights", "files",
)  # fmt: skip
"""The settings that a number depends on. They are parts of its key, except `clock`, which the detail of a time states.

The other parts of a key are the variant, the metric, the seed and the code.
"""

OF_A_PLACE = ("machine", "fingerprint", "clock", "weights", "files")
"""Settings that an ablation file does not state: they belong to the machine and its copies of files."""

VERSIONS = ("code", "libraries")
"""The parts of a key that say what was run, and not under which settings."""


def conditions_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among the parts of a key, as plain JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(chosen(parts), default=list))
    return plain


def with_clock(conditions: Mapping[str, Any], detail: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions, with the clock of a time (`elapsed`, `cpu`) where its detail states one."""
    clock = detail.get("clock")
    return {**conditions, "clock": clock} if isinstance(clock, str) else dict(conditions)


def versions_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The digests of the code and the versions of the libraries among the parts of a key; empty where not recorded."""
    return {name: parts[name] for name in VERSIONS if parts.get(name)}


def chosen(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among the parts of a key, as they are."""
    return {name: parts[name] for name in CONDITIONS if name in parts}


def stated(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions that an ablation file decides, with the defaults that a key leaves out."""
    present = {name: value for name, value in conditions.items() if name not in OF_A_PLACE}
    if "dtype" in present:
        present["numeric"] = {name: DEFAULTS[name] for name in ANYWHERE} | dict(present.get("numeric", {}))
    if "dataset" in present:
        present["dataset"] = {FRACTION.name: FRACTION.default} | dict(present["dataset"])
    return present


def differences(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Each setting that differs, as `recipe.steps: 200, not 1800`; one that either side lacks is no difference."""
    for name in sorted(one.keys() & other.keys()):
        first, second = one[name], other[name]
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from differences(first, second, f"{prefix}{name}.")
        elif first != second:
            yield f"{prefix}{name}: {json.dumps(first)}, not {json.dumps(second)}"


def missing_on_one_side(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Each setting that only one of the two records, as `recipe.warmup: recorded on one side only`."""
    for name in sorted({*one, *other}):
        first, second = one.get(name), other.get(name)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from missing_on_one_side(first, second, f"{prefix}{name}.")
        elif (name in one) != (name in other):
            yield f"{prefix}{name}: recorded on one side only"
