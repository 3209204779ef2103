"""Convolutional pose machines against paper and releases: counts by stage, fields by layer, supervision, centre map."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architectures.cpm import BeliefError, centre_map, cpm
from architectures.layers.heatmaps import gaussians
from bench.metrics.receptive_field import receptive_field
from bench.registry import RegistryError
from bench.registry.catalogue import declarations, live

FAMILY = live(declarations().architectures.get("cpm"))
NARROW: dict[str, Any] = {"width": 0.05, "joints": 3}


def on_meta(**axes: Any) -> nn.Module:
    with torch.device("meta"):
        return FAMILY.build(**axes).eval()


def params(**axes: Any) -> int:
    return sum(p.numel() for p in on_meta(**axes).parameters())


def image(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


# --- counts

TRUNK = (81 * 3 + 1) * 128 + 2 * (81 * 128 + 1) * 128
REDUCTION = (25 * 128 + 1) * 32
FIRST = (81 * 32 + 1) * 512 + (512 + 1) * 512 + (512 + 1) * 15
LATER = (121 * (32 + 15 + 1) + 1) * 128 + 2 * (121 * 128 + 1) * 128 + (128 + 1) * 128 + (128 + 1) * 15


@pytest.mark.parametrize("stages", range(1, 7))
def test_parameters_follow_from_the_layers_of_the_released_file(stages: int) -> None:
    by_hand = TRUNK * min(stages, 2) + stages * REDUCTION + FIRST + (stages - 1) * LATER
    assert params(stages=stages) == by_hand


def test_all_stages_are_the_release_s() -> None:
    assert 2 * TRUNK + 6 * REDUCTION + FIRST + 5 * LATER == 31_219_866


@pytest.mark.parametrize(("features", "trunks"), [("stage1", 1), ("stage2", 2), ("own", 6)])
def test_image_features_are_shared_or_not(features: str, trunks: int) -> None:
    assert params(features=features) - params(features="stage2") == (trunks - 2) * TRUNK


def test_what_the_centre_and_the_background_cost() -> None:
    """A channel more at the first large kernel of five stages; an output more at two layers and that kernel."""
    assert params() - params(centre=False) == 5 * 121 * 128
    assert params() - params(background=False) == 5 * 121 * 128 + (512 + 1) + 5 * (128 + 1)


# --- fields


def fields(**axes: Any) -> dict[str, Any]:
    """By layer, without the centre map, which depends on no pixel and takes most of the time here."""
    net = cpm(**NARROW | {"centre": False} | axes).eval()
    layers = net.receptive_field_layers
    return {name: receptive_field(net, (3, 64, 64), sink=path).size for name, path in layers.items()}


@pytest.mark.parametrize(
    "axes", [{}, {"pool": 3}, {"trunk": "vgg", "features": "stage1", "kernel": 7, "refinements": 5}], ids=str
)
def test_fields_are_those_of_figure_2_and_of_the_releases(axes: dict[str, Any]) -> None:
    published = {f.quantity.partition("/")[2]: f.value for f in FAMILY.facts if f.when == axes and "/" in f.quantity}
    found = fields(**axes)
    assert published
    assert {name: found[name] for name in published} == published


def test_the_centre_map_widens_no_field() -> None:
    with_centre = cpm(stages=2, **NARROW).eval()
    assert receptive_field(with_centre, (3, 64, 64)).size == fields(stages=2)["stage2"]


@pytest.mark.parametrize(("evidence", "stride", "kernel", "refinements"), [(3, 2, 5, 3), (5, 4, 3, 2), (9, 8, 11, 1)])
def test_each_stage_widens_the_field_by_its_kernels(evidence: int, stride: int, kernel: int, refinements: int) -> None:
    size, step = 1, 1
    for _ in range(3):
        size += (evidence - 1) * step
        if step < stride:
            size, step = size + step, 2 * step
    size += (min(5, evidence) - 1) * step + (evidence - 1) * step
    found = fields(evidence=evidence, stride=stride, kernel=kernel, refinements=refinements, stages=3)
    widened = refinements * (kernel - 1) * step
    assert [found[f"stage{n}"] for n in (1, 2, 3)] == [size, size + widened, size + 2 * widened]


# --- stages, supervision, background


def test_in_evaluation_every_stage_is_told_and_the_last_stands_first() -> None:
    for supervision in (True, False):
        net = cpm(stages=3, supervision=supervision, **NARROW).eval()
        outputs = net(image(70, 65))
        assert list(outputs) == ["out", "stage1", "stage2"]
        assert {tuple(maps.shape) for maps in outputs.values()} == {(2, 3, 9, 9)}


def test_without_supervision_the_earlier_stages_have_no_loss() -> None:
    assert set(cpm(stages=3, supervision=False, **NARROW).train()(image(64, 64))) == {"out", "background"}
    assert set(cpm(stages=3, **NARROW).train()(image(64, 64))) == {"out", "stage1", "stage2", "background"}


def test_a_stage_more_leaves_the_earlier_stages_as_they_are() -> None:
    longer, shorter = cpm(stages=3, **NARROW).eval(), cpm(stages=2, **NARROW).eval()
    shorter.load_state_dict({n: v for n, v in longer.state_dict().items() if n in shorter.state_dict()})
    x = image(64, 72)
    assert torch.equal(shorter(x)["out"], longer(x)["stage2"])


def test_right_beliefs_have_no_error_and_empty_ones_have_that_of_the_background_too() -> None:
    joints = torch.tensor([[[20.0, 30.0], [40.0, 13.0]]])
    targets = {"joints": joints, "visible": torch.full((1, 2), 2), "size": torch.tensor([[64.0, 64.0]])}
    error, wanted = BeliefError(8), gaussians(joints, (8, 8), 8, 1.0)
    background = 1 - wanted.amax(1, keepdim=True)
    right = error({"out": wanted, "background": background}, targets)
    empty = error({"out": wanted, "background": torch.zeros(1, 1, 8, 8)}, targets)
    assert float(right) == 0
    assert float(empty) == pytest.approx(float(background.square().sum() / (2 * torch.pi)))


# --- centre map


@pytest.mark.parametrize("size", [(64, 64), (65, 99), (368, 368)])
def test_the_centre_map_peaks_at_the_middle_of_the_image(size: tuple[int, int]) -> None:
    found = centre_map(*size, 8, torch.zeros(1))[0, 0]
    assert found.shape == (-(-size[0] // 8), -(-size[1] // 8))
    row, column = divmod(int(found.argmax()), found.shape[1])
    assert abs(8 * row + 3.5 - (size[0] - 1) / 2) <= 8
    assert abs(8 * column + 3.5 - (size[1] - 1) / 2) <= 8


def test_the_centre_map_is_the_mean_of_the_release_s_gaussian() -> None:
    """Of sigma 21 px about the middle of 368 px, over 9 px from every eighth on."""
    line = torch.exp(-((torch.arange(368.0) - 183.5) ** 2) / (2 * 21**2))
    cells = torch.stack([line[8 * i : 8 * i + 9].mean() for i in range(46)])
    torch.testing.assert_close(centre_map(368, 368, 8, line)[0, 0], cells[:, None] * cells[None, :])


def test_cross_entropy_has_no_background() -> None:
    with pytest.raises(RegistryError, match="not whether"):
        FAMILY.build(loss="cross_entropy")
    assert FAMILY.build(loss="cross_entropy", background=False, **NARROW).loss is None
