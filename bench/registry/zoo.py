"""Names of the networks of torchvision, timm and segmentation_models_pytorch, and the arguments that they take.

All is read from the sources of these libraries, without importing them.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.registry import Axis, RegistryError, suggestion
from bench.registry.catalogue import package_folder, parse
from bench.registry.signatures import Arguments, arguments_of

LIBRARY: Mapping[str, str] = {"timm": "timm", "torchvision": "torchvision", "smp": "segmentation_models_pytorch"}
"""How the name of a network begins (`smp:Unet`) -> the package that has it."""

_TIMM = re.compile(r"^@register_model\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_ELSEWHERE = ("quantization", "optical_flow")
_BUILDER = re.compile(r"^@register_model\(\)\n(?:[@ )].*\n)*def (\w+)\(", re.MULTILINE)

WEIGHTS = ("weights", "weights_backbone", "pretrained", "encoder_weights")
"""Arguments that load trained weights: none are loaded unless an ablation names some."""
OF_ALL_TIMM = (
    Axis("pretrained", "bool", False),
    Axis("num_classes", "int", None, optional=True),
    Axis("in_chans", "int", None, optional=True),
    Axis("features_only", "bool", False),
    Axis("out_indices", "any", None, optional=True),
    Axis("output_stride", "int", None, optional=True),
    Axis("drop_rate", "float", None, optional=True),
)
"""What timm's `create_model` takes of every model."""
OF_ALL_SMP = (
    Axis("encoder_weights", "str", None, optional=True),
    Axis("in_channels", "int", 3),
    Axis("classes", "int", 1),
)
"""What every network of segmentation_models_pytorch takes."""


@functools.cache
def timm_builders() -> Mapping[str, Path]:
    """Name -> file of the models that timm registers, without those under names that it calls deprecated."""
    files = sorted((package_folder("timm") / "models").glob("*.py"))
    return {name: file for file in files for name in _TIMM.findall(file.read_text("utf-8"))}


def timm_models() -> frozenset[str]:
    """The names of `timm_builders`."""
    return frozenset(timm_builders())


@functools.cache
def timm_arguments(name: str) -> Arguments:
    """The arguments of a model of timm, also of a name that its sources do not have: then the common ones."""
    builders = timm_builders()
    own = arguments_of(builders[name], name) if name in builders else Arguments({}, False)
    return _untrained(replace(own, axes={**{axis.name: axis for axis in OF_ALL_TIMM}, **own.axes}))


@functools.cache
def torchvision_builders() -> Mapping[str, Path]:
    """Name -> file of every builder for one image: classification, segmentation, detection; and for video."""
    folder = package_folder("torchvision") / "models"
    files = (f for f in sorted(folder.rglob("*.py")) if f.parent.name not in _ELSEWHERE)
    return {name: file for file in files for name in _BUILDER.findall(file.read_text("utf-8"))}


@functools.cache
def torchvision_arguments(name: str) -> Arguments:
    """The arguments of a builder, and of what it hands its other arguments to. Raises RegistryError."""
    builders = torchvision_builders()
    if name not in builders:
        raise RegistryError(f"torchvision has no model '{name}'{suggestion(name, list(builders))}")
    return _untrained(replace(arguments_of(builders[name], name), complete=True))


def torchvision_axes(name: str) -> tuple[Axis, ...]:
    """The same as axes."""
    return tuple(torchvision_arguments(name).axes.values())


@functools.cache
def smp_classes() -> Mapping[str, Path]:
    """Name -> file of the networks of segmentation_models_pytorch; none where it is not installed."""
    spec = importlib.util.find_spec(LIBRARY["smp"])
    if spec is None or spec.origin is None:
        return {}
    start = Path(spec.origin)
    names = [
        alias.name
        for node in parse(start).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("decoders.")
        for alias in node.names
    ]
    return dict.fromkeys(names, start)


@functools.cache
def smp_arguments(name: str) -> Arguments:
    """The arguments of a network of segmentation_models_pytorch; where it is not installed, the common ones.

    So a committed ablation can be read without it. Raises RegistryError for a name that it does not have.
    """
    classes = smp_classes()
    if classes and name not in classes:
        raise RegistryError(f"segmentation_models_pytorch has no network '{name}'{suggestion(name, list(classes))}")
    own = arguments_of(classes[name], name) if classes else Arguments({}, False)
    return _untrained(replace(own, axes={**{axis.name: axis for axis in OF_ALL_SMP}, **own.axes}))


def _untrained(arguments: Arguments) -> Arguments:
    """The arguments with no trained weights as the default, and weights as plain text."""
    axes = {
        name: Axis(name, "bool", False) if name == "pretrained" else Axis(name, "str", None, optional=True)
        for name in WEIGHTS
        if name in arguments.axes
    }
    return replace(arguments, axes={**arguments.axes, **axes})
