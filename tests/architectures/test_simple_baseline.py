from __future__ import annotations

import pytest
import torch

from architectures.simple_baseline import mean_places, simple_baseline
from bench.registry import RegistryError
from bench.structure.costs import costs
from bench.structure.tape import record
from bench.tasks.pose import pixels

SMALL = {"backbone": "resnet26", "width": 0.125, "joints": 5}


@pytest.mark.parametrize("deconvolutions", [0, 1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_each_transposed_convolution_halves_the_stride(deconvolutions: int, kernel: int) -> None:
    network = simple_baseline(deconvolutions=deconvolutions, kernel=kernel, **SMALL).eval()
    stride = 32 >> deconvolutions
    for height, width in ((64, 96), (70, 65)):
        found = network(torch.zeros(1, 3, height, width))
        assert found.shape == (1, 5, -(-height // stride), -(-width // stride))


def test_mean_places_are_coordinates_of_the_image() -> None:
    maps = torch.full((1, 2, 5, 7), -1e9)
    maps[0, 0, 0, 6] = maps[0, 1, 4, 2] = maps[0, 1, 2, 2] = 1e3
    places = mean_places(maps, 4, torch.zeros(1, 3, 20, 28))
    expected = torch.tensor([[[6 * 4 + 1.5, 1.5], [2 * 4 + 1.5, 3 * 4 + 1.5]]])
    assert torch.allclose(pixels(places, 28, 20), expected, atol=1e-4)


def test_the_three_ends_share_their_trunk() -> None:
    found = {}
    for output in ("heatmaps", "integral", "coordinates"):
        network = simple_baseline(output=output, **SMALL)
        found[output] = {n: p.shape for n, p in network.named_parameters() if n.startswith("trunk.")}
        answer = network(torch.zeros(2, 3, 64, 64))
        assert answer.shape == ((2, 5, 16, 16) if output == "heatmaps" else (2, 5, 2))
    assert found["heatmaps"] == found["integral"] == found["coordinates"]


def test_a_timm_backbone() -> None:
    with torch.device("meta"):
        network = simple_baseline(backbone="timm:resnet18", joints=6).eval()
    assert network(torch.zeros(1, 3, 64, 96, device="meta")).shape == (1, 6, 16, 24)
    with pytest.raises(RegistryError, match="own width"):
        simple_baseline(backbone="timm:resnet18", width=0.5)


def test_counting_at_the_output_is_four_times_too_much() -> None:
    from bench.structure.conventions import hrnet_gflops

    def counts(deconvolutions: int) -> tuple[float, float]:
        with torch.device("meta"):
            tape = record(simple_baseline(deconvolutions=deconvolutions).eval(), (1, 3, 64, 64))
        return costs(tape).macs, hrnet_gflops(tape) * 1024**3

    plain, told = counts(3)
    inner = 2048 * 256 * 16 * 4 + 256 * 256 * 16 * (16 + 64)  # input cells of the three layers: 2x2, 4x4, 8x8
    assert told - plain == pytest.approx(3 * inner)
    assert counts(0)[0] == counts(0)[1]
