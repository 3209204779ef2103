"""Short keys of an ablation file, written out: `weights:`, `train: none`, and `weights` as an axis.

Also `factorial: {axis: [first, second]}` for `factorial: {over: {...}}`.

They are the settings `train.weights` and `train.steps: none`. An axis of a network that is called `weights` stays that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.registry import Architecture
from bench.spec.context import Context
from bench.spec.designs import WITH_AXES, section_at
from bench.spec.schema import AblationError, AblationFile
from bench.spec.weights import NONE
from bench.spec.yamlfile import Document

WEIGHTS, STEPS = "train.weights", "train.steps"


def with_sections(document: Document) -> Document:
    """The document with what short keys say in the sections that hold it. Raises AblationError for both at once."""
    data, positions = dict(document.data), dict(document.positions)
    if data.get("train") == NONE:
        data["train"] = {"steps": NONE}
    if "weights" in data and isinstance(data.get("train", {}), dict):
        if "weights" in data.get("train", {}):
            raise AblationError(
                f"{document.at(['weights'])}: 'weights' and 'train.weights' are one key; keep one of them"
            )
        data["train"] = {**data.get("train", {}), "weights": data.pop("weights")}
        positions = {_moved(path, ("weights",), ("train", "weights")): at for path, at in positions.items()}
    if isinstance(section := data.get("factorial"), dict) and "over" not in section and section:
        axes = {name: value for name, value in section.items() if name != "count"}
        data["factorial"] = {**{name: section[name] for name in section if name not in axes}, "over": axes}
        for name in axes:
            positions = {_moved(p, ("factorial", name), ("factorial", "over", name)): at for p, at in positions.items()}
    if isinstance(entries := data.get("compare_with"), list):
        data["compare_with"] = [_entry(document, number, entry) for number, entry in enumerate(entries)]
        for number in range(len(entries)):
            for short, setting in (("weights", WEIGHTS), ("train", STEPS)):
                place = ("compare_with", number)
                positions = {_moved(p, (*place, short), (*place, "axes", setting)): at for p, at in positions.items()}
    return replace(document, data=data, positions=positions)


def _entry(document: Document, number: int, entry: Any) -> Any:
    """An entry of `compare_with` with `weights` and `train: none` among its axes."""
    if not isinstance(entry, dict) or not isinstance(entry.get("axes", {}), dict):
        return entry
    axes = dict(entry.get("axes", {}))
    if "weights" in entry:
        axes[WEIGHTS] = entry["weights"]
    if "train" in entry:
        if entry["train"] != NONE:
            at = document.at(["compare_with", number, "train"])
            raise AblationError(f"{at}: 'train' of an entry is none; other values are axes, such as train.lr")
        axes[STEPS] = NONE
    rest = {key: value for key, value in entry.items() if key not in ("weights", "train")}
    return {**rest, "axes": axes} if axes else rest


def _moved(path: tuple[Any, ...], old: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*new, *path[len(old) :]) if path[: len(old)] == old else path


def with_setting_names(context: Context, architecture: Architecture) -> Context:
    """The context whose sections name the axis `weights` as the setting, where the network has no axis of that name."""
    file, positions = context.file, dict(context.document.positions)
    changed: dict[str, Any] = {}
    if not _has_axis(architecture):
        changed["baseline"] = _renamed(file.baseline)
        changed |= _renamed_designs(file)
        for place in (("baseline",), *WITH_AXES):
            positions = {_moved(path, (*place, "weights"), (*place, WEIGHTS)): at for path, at in positions.items()}
        changed["exclude"] = [each.model_copy(update={"when": _renamed(each.when)}) for each in file.exclude]
    changed["compare_with"] = [
        entry if _has_axis(context.architecture(entry.architecture, ["compare_with", number, "architecture"]))
        else entry.model_copy(update={"axes": _renamed(entry.axes)})
        for number, entry in enumerate(file.compare_with)
    ]  # fmt: skip
    document = replace(context.document, positions=positions)
    return replace(context, document=document, file=file.model_copy(update=changed))


def _renamed_designs(file: AblationFile) -> dict[str, Any]:
    """The sections of `WITH_AXES` with the axis `weights` named as the setting."""
    changed: dict[str, Any] = {}
    for first, *inner in WITH_AXES:
        section = section_at(file, (first, *inner))
        new = _renamed(section) if isinstance(section, Mapping) else _renamed_list(section)
        if section:
            changed[first] = getattr(file, first).model_copy(update={inner[0]: new}) if inner else new
    if file.path and isinstance(file.path.order, list) and file.path.order:
        changed["path"] = changed["path"].model_copy(update={"order": _renamed_list(file.path.order)})
    return changed


def _renamed_list(names: Sequence[str]) -> list[str]:
    return [WEIGHTS if name == "weights" else name for name in names]


def _has_axis(architecture: Architecture) -> bool:
    return any(axis.name == "weights" for axis in architecture.axes)


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {WEIGHTS if name == "weights" else name: value for name, value in values.items()}
