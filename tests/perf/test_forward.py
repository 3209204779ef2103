"""pytest-benchmark over every registered architecture: one forward pass, timed by a synchronising timer."""

import pytest
import torch
from torch.utils import _pytree as pytree

from bench.registry import RegistryError
from bench.registry.catalogue import declarations, live

SMALL = {"width": 0.125, "fc_channels": 32, "padding": "same", "norm": "batch"}


def variants():
    """Every family at its defaults, made small by those of its axes that do so."""
    for family in declarations().architectures:
        axes = {axis.name: SMALL[axis.name] for axis in family.axes if axis.name in SMALL and takes(axis)}
        yield pytest.param(family, axes, id=family.name)


def takes(axis):
    """Whether the small value is one of the axis: a width may also be a number of channels."""
    try:
        axis.parse(SMALL[axis.name])
    except RegistryError:
        return False
    return True


def device():
    return "cuda" if torch.cuda.is_available() else "cpu"


def synchronised():
    """The time in seconds, once the device has finished its work."""
    if device() == "cuda":
        torch.cuda.synchronize()
    import time

    return time.perf_counter()


@pytest.mark.benchmark(timer=synchronised, warmup=True, group="forward")
@pytest.mark.parametrize(("family", "axes"), list(variants()))
def test_forward(family, axes, benchmark):
    torch.manual_seed(0)
    network = live(family).build(**axes).eval().to(device())
    settings = live(family).resolve(axes)
    size = settings.get("size", 128)
    image = torch.randn(1, settings.get("channels", 3), size, size, device=device())
    with torch.inference_mode():
        outputs = benchmark(network, image)
    assert all(torch.isfinite(output).all() for output in pytree.tree_leaves(outputs))
