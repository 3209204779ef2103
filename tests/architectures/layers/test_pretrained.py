"""Weights learnt elsewhere: that they arrive, that images are brought to their scale, that wrong ones are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from architectures.layers.pretrained import Standardised, timm_encoder
from architectures.unet import unet
from bench.registry import RegistryError
from bench.tasks.segmentation import Segmentation

NAME = "resnet18"
Saved = Callable[[Mapping[str, Tensor], str], str]


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(7)
    return timm.create_model(NAME).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    def save(weights: Mapping[str, Tensor], name: str) -> str:
        path = tmp_path / name
        save_file(dict(weights), path) if path.suffix == ".safetensors" else torch.save(weights, path)
        return f"file:{path}"

    return save


def image() -> Tensor:
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def agrees(pretrained: str, teacher: nn.Module) -> bool:
    """Whether the encoder gives the maps that the teacher has for the same standardised image."""
    standardised, features = timm_encoder(NAME, pretrained)
    x = standardised(image())
    expected = teacher.forward_intermediates(x, intermediates_only=True)
    return all(torch.equal(a, b) for a, b in zip(features.eval()(x), expected, strict=True))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_weights_of_a_file_arrive(name: str, teacher: nn.Module, saved: Saved) -> None:
    assert agrees(saved(teacher.state_dict(), name), teacher)
    assert not agrees("none", teacher)


def test_weights_under_other_names_arrive_in_order(teacher: nn.Module, saved: Saved) -> None:
    renamed = {f"{number:04}": value for number, value in enumerate(teacher.state_dict().values())}
    assert agrees(saved(renamed, "renamed.pth"), teacher)


def test_weights_of_a_package_arrive(
    teacher: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: Saved
) -> None:
    (tmp_path / "planted_weights").mkdir()
    (tmp_path / "planted_weights" / "__init__.py").touch()
    saved(teacher.state_dict(), "planted_weights/only.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert agrees("package:planted_weights", teacher)


def test_images_are_brought_to_the_mean_and_deviation_of_the_weights() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (levels / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)
    torch.testing.assert_close(Standardised(mean, deviation)(Segmentation.prepare(levels)), expected)


def test_untrained_images_pass_as_they_are() -> None:
    assert isinstance(timm_encoder(NAME)[0], nn.Identity)


def test_a_family_takes_them(teacher: nn.Module, saved: Saved) -> None:
    axes = {"backbone": f"timm:{NAME}", "depth": 5, "width": 0.1, "classes": 3}
    net = unet(pretrained=saved(teacher.state_dict(), "weights.pth"), **axes)
    assert torch.equal(next(net.encoder.features.parameters()), next(teacher.parameters()))


def test_on_the_meta_device_nothing_is_copied(teacher: nn.Module, saved: Saved) -> None:
    with torch.device("meta"):
        _, features = timm_encoder(NAME, saved(teacher.state_dict(), "weights.pth"))
    assert all(p.is_meta for p in features.parameters())


def test_the_logger_of_timm_is_left_as_it_was(teacher: nn.Module, saved: Saved) -> None:
    import logging

    logger = logging.getLogger("timm.models._builder")
    before = logger.level
    timm_encoder(NAME, saved(teacher.state_dict(), "weights.pth"))
    assert logger.level == before


@pytest.mark.parametrize(
    ("pretrained", "told"),
    [
        ("imagenet", "'pretrained' is none, hub, file:PATH or package:NAME, not 'imagenet'"),
        ("file:nowhere.pth", "there is no file 'nowhere.pth'"),
        ("package:no_such_package", "the package 'no_such_package' is not installed"),
        ("package:timm", "ships 0 weights files, not one"),
    ],
)
def test_what_is_no_source_is_refused(pretrained: str, told: str) -> None:
    with pytest.raises(RegistryError, match=told):
        timm_encoder(NAME, pretrained)


def test_weights_of_another_network_are_refused(teacher: nn.Module, saved: Saved) -> None:
    with pytest.raises(RegistryError, match=r"tensor \d+ \(layer1.*\) is"):
        timm_encoder("resnet34", saved(timm.create_model("resnet26").state_dict(), "resnet26.pth"))
    with pytest.raises(RegistryError, match="holds 121 tensors, 'resnet18' has 122"):
        timm_encoder(NAME, saved(dict(list(teacher.state_dict().items())[:-1]), "short.pth"))


def test_weights_are_for_timm_and_for_three_channels() -> None:
    with pytest.raises(RegistryError, match="backbones timm:NAME, not for 'unet'"):
        unet(pretrained="hub")
    with pytest.raises(RegistryError, match="three channels"):
        timm_encoder(NAME, "hub", in_chans=1)


def test_a_network_that_the_hub_lacks_is_refused() -> None:
    with pytest.raises(RegistryError, match="hub has no weights of 'botnet50ts_256'"):
        timm_encoder("botnet50ts_256", "hub")
