"""What the zoos publish of their models: torchvision in the meta of its weights, timm in a table of results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.registry import Fact
from bench.registry.zoo import torchvision_axes

TORCHVISION = (
    *("alexnet", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet50", "resnet101", "resnext50_32x4d"),
    *("wide_resnet50_2", "densenet121", "squeezenet1_1", "shufflenet_v2_x1_0", "mobilenet_v2"),
    *("mobilenet_v3_large", "mnasnet1_0", "efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf"),
    *("convnext_tiny", "swin_t", "swin_v2_t", "vit_b_16", "maxvit_t"),
    *("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"),
    *("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"),
)
"""Those that `bench verify` without a name looks at; any other can be named."""

TIMM_TABLE = (
    "huggingface/pytorch-image-models@aa4b585, results/benchmark-infer-amp-nhwc-pt240-cu124-rtx3090.csv, "
    "param_count and infer_gmacs"
)
TIMM = {
    "resnet50": (25.56, 4.11, 224),
    "resnet50c": (25.58, 4.35, 224),
    "resnet101": (44.55, 7.83, 224),
    "vgg16": (138.36, 15.47, 224),
    "xception65": (39.92, 13.96, 299),
    "hrnet_w32": (41.23, 8.97, 224),
}
"""Parameters in millions, GMACs, side of the square input in pixels."""

OWN_COUNT = "counted by hand; torchvision prints none"
SEGMENTATION = (3, 520, 520)
COUNTED: dict[str, tuple[Fact, ...]] = {
    "googlenet": (
        Fact(
            "params",
            5621429,
            OWN_COUNT,
            {"aux_logits": False, "num_classes": 21},
            note="not the paper's FCN-GoogLeNet: 3x3 in place of 5x5, batch norm, no bias",
        ),
    ),
    "fcn_resnet50": (
        Fact("params", 32957013, OWN_COUNT, note="without the auxiliary head"),
        Fact("macs", 142.726, OWN_COUNT, shape=SEGMENTATION, digits=3, scale=1e9, note="without the auxiliary head"),
    ),
    "fcn_resnet101": (Fact("params", 51949141, OWN_COUNT, note="without the auxiliary head"),),
    "deeplabv3_resnet50": (Fact("params", 39638869, OWN_COUNT, note="without the auxiliary head"),),
}
"""Networks of torchvision that its weights do not describe."""


def models(zoo: str) -> tuple[str, ...]:
    """The targets of a zoo that `bench verify` looks at when none is named."""
    return tuple(f"{zoo}:{name}" for name in {"timm": tuple(TIMM), "torchvision": TORCHVISION}.get(zoo, ()))


def zoo_facts(target: str) -> tuple[Fact, ...]:
    """What is published of `timm:NAME` or `torchvision:NAME`; nothing where nothing is.

    torchvision is imported, since its figures stand in the weights of the version that is installed.
    Raises RegistryError for a model that it does not have.
    """
    zoo, _, name = target.partition(":")
    published = {"timm": _timm, "torchvision": _torchvision}
    return tuple(published[zoo](name)) if zoo in published else ()


def _timm(name: str) -> Iterator[Fact]:
    if name in TIMM:
        millions, gmacs, side = TIMM[name]
        yield Fact("params", millions, TIMM_TABLE, digits=2, scale=1e6)
        yield Fact("macs", gmacs, TIMM_TABLE, shape=(3, side, side), digits=2, convention="fvcore_gflops")


def _torchvision(name: str) -> Iterator[Fact]:
    """Parameters and operations of the weights that torchvision calls its default."""
    import torchvision
    from torchvision import models

    when = _built_for_weights(name)
    if name in (*models.list_models(models), *models.list_models(models.segmentation)):
        weights = models.get_model_weights(name).DEFAULT
        source = f"torchvision {torchvision.__version__}, meta of its weights"
        when |= {"image_size": weights.meta["min_size"][0]} if _has(name, "image_size") else {}
        shape, note = _shape(weights), str(weights)
        yield Fact("params", weights.meta["num_params"], source, when, note=note)
        counted: dict[str, Any] = {"shape": shape, "digits": 3, "convention": "torchvision_gflops"}
        yield Fact("macs", weights.meta["_ops"], source, when, note=note, **counted)
    yield from COUNTED.get(name, ())


def _built_for_weights(name: str) -> dict[str, Any]:
    """Axis values of the networks that the published weights are of, where they differ from the defaults.

    A segmentation network gets its auxiliary head, GoogLeNet loses both of its own.
    """
    if _has(name, "aux_loss"):
        return {"aux_loss": True}
    return {"aux_logits": False} if name == "googlenet" else {}


def _has(name: str, axis: str) -> bool:
    return axis in (a.name for a in torchvision_axes(name))


def _shape(weights: Any) -> tuple[int, ...]:
    """(3, H, W) that the operations were counted at: what the weights' transforms make of a 512x512 image."""
    import torch

    return tuple(weights.transforms()(torch.zeros(3, 512, 512)).shape)
