"""Checks of what a dataset, a network and a task give each other, where it enters a training run.

A wrong label or a wrong number of classes would not always raise: it would be counted as another class.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bench.data.examples import Examples
from bench.data.subset import own_axes, part_of
from bench.registry import Dataset
from bench.registry.catalogue import PLUGIN_PREFIX
from bench.registry.entries import FRACTION
from bench.registry.places import place_of


class PluginError(ValueError):
    """A plug-in gave what does not fit; the message says where, what, and what would."""

    kind = "failed"


def check_files(entry: Dataset) -> None:
    """Raises PluginError where the module of a dataset that is kept in files does not say which."""
    if not entry.embedded and not callable(getattr(sys.modules.get(entry.module), "files", None)):
        raise PluginError(
            f"{place_of(entry.call)}: dataset '{entry.name}' is kept in files, so that its module needs a function "
            "files(root, split, **axes); a dataset that is made in memory is registered with embedded=True"
        )


def load(entry: Dataset, root: Any, split: str, *, shape: tuple[int, ...], **options: Any) -> Examples:
    """The examples of a split, checked; of the training split the fraction that the options state.

    Raises PluginError, and what the loader raises.
    """
    try:
        examples = entry.call(root, split, shape, **own_axes(options))
    except ValueError as error:
        if entry.module.startswith(PLUGIN_PREFIX):
            raise PluginError(f"{place_of(entry.call)}: dataset '{entry.name}': {error}") from error
        raise
    for problem in problems(examples, entry.task, shape):
        raise PluginError(f"{place_of(entry.call)}: dataset '{entry.name}' {problem}")
    if split == entry.splits[0] and FRACTION.name in options:
        return part_of(examples, options[FRACTION.name])
    return examples  # type: ignore[no-any-return]


def problems(examples: Any, task: str, shape: tuple[int, ...]) -> Iterator[str]:
    """What is wrong with the examples of a dataset, the most basic first."""
    if not isinstance(examples, Examples):
        yield f"gave a {type(examples).__name__}; it must return bench.data.examples.Examples(images, targets, ...)"
        return
    tensors = {"images": examples.images, **{f"target '{n}'": target for n, target in examples.targets.items()}}
    for name, tensor in tensors.items():
        if not hasattr(tensor, "requires_grad"):
            yield f"has {name} of type {type(tensor).__name__}; make it a tensor, as by torch.from_numpy(...)"
            return
    yield from _images(examples, shape)
    if task == "segmentation":
        yield from _labels(examples)
    if task == "pose":
        yield from _joints(examples)


def _images(examples: Examples, shape: tuple[int, ...]) -> Iterator[str]:
    if not len(examples.images):
        yield "has no images in this split"
    if _dtype(examples.images) != "uint8":
        yield f"has images of {_dtype(examples.images)}; they must be uint8, 0 to 255"
    size = tuple(examples.images.shape)
    if size[1:] != shape:
        hint = "; move the channels with .permute(0, 3, 1, 2)" if size[1:] == (*shape[1:], shape[0]) else ""
        yield f"has images of shape {size}; they must be (N, {', '.join(map(str, shape))}){hint}"


def _labels(examples: Examples) -> Iterator[str]:
    labels = examples.targets.get("labels")
    if labels is None:
        yield f"has the targets {', '.join(examples.targets) or '(none)'}; segmentation needs 'labels'"
        return
    size = (len(examples.images), *examples.images.shape[2:])
    if tuple(labels.shape) != size:
        yield f"has labels of shape {tuple(labels.shape)}; they must be {size}, one for each pixel"
    if _dtype(labels) != "uint8":
        yield f"has labels of {_dtype(labels)}; they must be uint8"
    elif (wrong := labels[(labels >= len(examples.names)) & (labels != 255)]).numel():
        classes = len(examples.names)
        yield f"has the label {int(wrong.max())}, but {classes} classes (0 to {classes - 1}) and 255 for void"


def _joints(examples: Examples) -> Iterator[str]:
    count = (len(examples.images), len(examples.names))
    for name, size in (("joints", (*count, 2)), ("visible", count)):
        target = examples.targets.get(name)
        if target is None:
            yield f"has the targets {', '.join(examples.targets) or '(none)'}; pose needs 'joints' and 'visible'"
            return
        if tuple(target.shape) != size:
            yield f"has '{name}' of shape {tuple(target.shape)}; it must be {size}: images, joints of `names`"


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def check_network(network: Any, where: str) -> None:
    """Raises PluginError where a builder returned something else than a network."""
    import torch

    if not isinstance(network, torch.nn.Module):
        raise PluginError(f"{where}: the builder returned a {type(network).__name__}; it must return a torch.nn.Module")


def check_output(network: Any, task: Any, examples: Examples, where: str) -> None:
    """Raises PluginError where the network, in eval mode, gives no score for each class of each pixel, or no joints.

    Of two images. Networks of other tasks, and those with lazy layers, which a pass would fill, are not asked. The
    random generators and the network's buffers are as before.
    """
    from bench.structure.lazy import has_lazy_parts

    names = [f"{each.__module__}.{each.__qualname__}" for each in task.__mro__] if isinstance(task, type) else []
    check = next((CHECKS_OF_OUTPUT[name] for name in names if name in CHECKS_OF_OUTPUT), None)
    if check is None or has_lazy_parts(network):
        return
    outputs = _passed(network, task.prepare(examples.images[:2]))
    check(outputs["out"] if isinstance(outputs, dict) and "out" in outputs else outputs, examples, where)


def _check_scores(scores: Any, examples: Examples, where: str) -> None:
    labels, classes = examples.targets["labels"][:2], len(examples.names)
    size = tuple(getattr(scores, "shape", ()))
    if len(size) != 4:
        what = f"a tensor of shape {size}" if size else f"a {type(scores).__name__}"
        raise PluginError(f"{where} gave {what}; segmentation needs scores of shape (batch, {classes}, height, width)")
    if size[1] != classes:
        raise PluginError(f"{where} scores {size[1]} classes (output {size}), but the dataset has {classes} classes")
    if (size[0], *size[2:]) != tuple(labels.shape):
        raise PluginError(f"{where} gave scores of shape {size} for labels of shape {tuple(labels.shape)}")


def _check_maps(maps: Any, examples: Examples, where: str) -> None:
    joints, size = len(examples.names), tuple(getattr(maps, "shape", ()))
    if size[1:] != (joints, 2) and not (len(size) == 4 and size[1] == joints):
        what = f"a tensor of shape {size}" if size else f"a {type(maps).__name__}"
        needs = f"maps of shape (batch, {joints}, height, width) or places (batch, {joints}, 2)"
        raise PluginError(f"{where} gave {what}; pose needs {needs}, since the dataset has {joints} joints")


CHECKS_OF_OUTPUT: Mapping[str, Callable[[Any, Examples, str], None]] = {
    "bench.tasks.segmentation.Segmentation": _check_scores,
    "bench.tasks.pose.Pose": _check_maps,
}
"""By the name of the task's class, so that a job imports no task but its own."""


def _passed(network: Any, images: Any) -> Any:
    import torch

    from bench.structure.modes import in_eval
    from bench.sweep.process_state import generators_kept

    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    modes = [(module, module.training) for module in network.modules()]
    with generators_kept(), torch.no_grad():
        try:
            return in_eval(network)(images)
        finally:
            for buffer, before in buffers:
                buffer.copy_(before)
            for module, training in modes:
                module.training = training
