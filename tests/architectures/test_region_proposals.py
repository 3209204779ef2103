"""Region networks: pooling and pasting against slow loops, what the instruments say, the ceiling over random nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from architectures.layers.regions import CONTEXT
from architectures.region_proposals import Rectangles, RegionNetwork, Segments, rectangles, region_proposals, segments
from bench.data.boundaries import boundaries
from bench.metrics.miou import miou
from bench.metrics.proposal_ceiling import proposal_ceiling
from bench.metrics.receptive_field import receptive_field
from bench.registry import LIVE, RegistryError
from bench.results.measurement import Evaluation
from bench.structure.costs import costs
from bench.structure.graph import graph_hash
from bench.structure.tape import record
from bench.tasks.segmentation import Segmentation

SMALL: dict[str, Any] = {
    "width": 0.05,
    "fc_channels": 640,
    "regions": 12,
    "stride": 4,
    "backbone": "vgg11",
    "classes": 3,
}


def network(seed: int = 0, **axes: Any) -> RegionNetwork:
    torch.manual_seed(seed)
    built = LIVE.architectures.get("region_proposals").build(**SMALL | axes)
    assert isinstance(built, RegionNetwork)
    return built.eval()


def images(count: int = 2, height: int = 45, width: int = 70, seed: int = 0) -> Tensor:
    """Soft blobs, so that regions are of all forms."""
    noise = torch.randn(count, 3, 7, 9, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")


def proposed(kind: str, image: Tensor, regions: int, stride: int) -> Rectangles | Segments:
    if kind == "grid":
        return rectangles(image, regions, stride)
    if kind == "superpixels":
        return segments(image, regions, stride, levels=1, merging="size")
    return segments(image, regions, stride, levels=2, merging="ward")


KINDS = ("grid", "superpixels", "hierarchy")


# -- pooling and pasting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_pooling_is_the_mean_over_the_pixels_of_a_region(kind: str, stride: int) -> None:
    image = images()
    maps = torch.randn(2, 5, -(-45 // stride), -(-70 // stride), dtype=torch.float64)
    pooled = proposed(kind, image, 12, stride).pooled(maps, context=False)
    fine = maps.repeat_interleave(stride, 2).repeat_interleave(stride, 3)[..., :45, :70]
    ids = network(proposals=kind, regions=12, levels=2 if kind == "hierarchy" else 1).partition(image)
    for n in range(2):
        for region in range(int(ids[n].max()) + 1):
            expected = torch.stack([fine[n, :, y, x] for y, x in (ids[n] == region).nonzero().tolist()]).mean(0)
            assert torch.allclose(pooled[n, region], expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_context_is_the_mean_over_an_enlarged_box(kind: str) -> None:
    image, stride = images(1, 40, 48), 4
    maps = torch.randn(1, 2, 10, 12, dtype=torch.float64)
    pooled = proposed(kind, image, 6, stride).pooled(maps, context=True)
    ids = network(proposals=kind, regions=6).partition(image)[0]
    for region in range(int(ids.max()) + 1):
        sides = []
        for places, length in zip((ids == region).nonzero().T, (40, 48), strict=True):
            start, stop = int(places.min()), int(places.max()) + 1
            more = (stop - start) * (CONTEXT - 1) / 2
            sides.append((max(start - more, 0.0), min(stop + more, float(length))))
        total, area = torch.zeros(2, dtype=torch.float64), 0.0
        for i in range(10):
            for j in range(12):
                part = 1.0
                for (low, high), k in zip(sides, (i, j), strict=True):
                    part *= max(0.0, min(high, stride * (k + 1)) - max(low, stride * k))
                total, area = total + part * maps[0, :, i, j], area + part
        assert torch.allclose(pooled[0, region], total / area, atol=1e-5)


def test_a_pixel_gets_the_largest_score_of_the_regions_that_hold_it() -> None:
    found = segments(images(), 12, 4, levels=3, merging="ward")
    scores = torch.randn(2, 12 + 3 + 1, 4)
    pasted = found.pasted(scores)
    for n, y, x in ((0, 0, 0), (0, 20, 33), (1, 44, 69), (1, 7, 50)):
        rows = found.members[n, :, found.ids[n, y, x]]
        assert len(set(rows.tolist())) == 3
        assert torch.equal(pasted[n, :, y, x], scores[n, rows].amax(0))


@pytest.mark.parametrize(("regions", "size"), [(12, (3, 4)), (1, (1, 1)), (7, (2, 3)), (64, (6, 10)), (4096, (45, 70))])
def test_a_grid_has_at_most_as_many_rectangles_as_it_may(regions: int, size: tuple[int, int]) -> None:
    found = rectangles(images(), regions, 4)
    assert found.size == size
    numbers = torch.arange(size[0] * size[1]).float()[None, :, None]
    ids = found.pasted(numbers)[0, 0]
    assert len(ids.unique()) == size[0] * size[1] <= regions
    sizes = torch.bincount(ids.long().flatten())
    assert sizes.min() >= (45 // size[0]) * (70 // size[1])


@pytest.mark.parametrize("axes", [{"proposals": kind} for kind in KINDS] + [{"levels": 3}, {"strategy": "fg"}])
def test_pixels_of_a_region_have_the_same_scores(axes: dict[str, Any]) -> None:
    model, x = network(**axes), images(2, 65, 72)
    ids, scores = model.partition(x), model(x)
    assert ids.shape == (2, 65, 72)
    assert int(ids.max()) < SMALL["regions"]
    for n in range(2):
        for region in range(int(ids[n].max()) + 1):
            inside = scores[n, :, ids[n] == region]
            assert torch.equal(inside, inside[:, :1].expand_as(inside))
        assert len(scores[n].flatten(1).unique(dim=1).T) > 1


def test_an_image_is_segmented_alike_alone_and_in_a_batch() -> None:
    model, x = network(), images(3)
    assert torch.allclose(model(x)[1:2], model(x[1:2]), atol=1e-6)


def test_what_does_not_exist_is_refused_with_the_reason() -> None:
    with pytest.raises(RegistryError, match="only a hierarchy has several levels"):
        network(proposals="grid", levels=2)
    with pytest.raises(RegistryError, match="only a hierarchy is made by similarity"):
        network(proposals="superpixels", similarity="selective_search")
    with pytest.raises(RegistryError, match="not oracle"):
        network(proposals="oracle")
    with pytest.raises(RegistryError, match="leave 'width'"):
        region_proposals(backbone="timm:resnet18", width=0.5)


def test_a_timm_trunk_fits_any_size() -> None:
    with torch.device("meta"):
        model = region_proposals(backbone="timm:resnet18", stride=8, fc_channels=16, classes=5)
    assert model.trunk(torch.empty(2, 3, 71, 65, device="meta")).shape == (2, 128, 9, 9)
    assert model(torch.empty(2, 3, 71, 65, device="meta")).shape == (2, 5, 71, 65)


# -- the instruments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [{}, {"levels": 3}, {"proposals": "superpixels"}, {"strategy": "full"}])
def test_the_receptive_field_of_proposals_from_the_image_is_all_of_it(axes: dict[str, Any]) -> None:
    field = receptive_field(network(**axes), (3, 65, 70), position=(3, 5))
    assert field.exact
    assert field.mask.all()
    assert field.size is None
    assert field.unbounded.reason.startswith("global")


@pytest.mark.parametrize(("near", "far"), [((4, 4), (60, 60)), ((60, 10), (4, 60))])
def test_any_pixel_can_change_any_other(near: tuple[int, int], far: tuple[int, int]) -> None:
    """The bound is reached: on a path of one colour, a change at one end is seen at the other."""
    model = network(regions=4, width=0.3).double()
    x = torch.full((1, 3, 65, 65), -1.0, dtype=torch.float64)
    (top, bottom), (left, right) = (sorted(pair) for pair in zip(near, far, strict=True))
    column = near[1]
    x[..., top - 3 : bottom + 4, column - 3 : column + 4] = 1.0
    x[..., far[0] - 3 : far[0] + 4, left - 3 : right + 4] = 1.0
    before = model(x)[0, :, near[0], near[1]]
    x[0, :, far[0], far[1]] -= 0.05
    ids = model.partition(x)[0]
    assert ids[near] == ids[far]
    assert not torch.equal(model(x)[0, :, near[0], near[1]], before)


def test_the_receptive_field_of_a_grid_is_that_of_the_regions_cells() -> None:
    """As the gradient has it: nothing outside the field, and as far as it goes."""
    model = network(proposals="grid", regions=25, width=0.3, strategy="fg").double()
    x = torch.randn(1, 3, 120, 120, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for place in ((3, 5), (60, 60), (119, 30)):
        (gradient,) = torch.autograd.grad(model(x)[0, :, place[0], place[1]].abs().sum(), x)
        seen = gradient[0].abs().sum(0).numpy() > 0
        field = receptive_field(model, (3, 120, 120), position=place)
        assert field.exact
        assert not field.mask.all()
        assert not (seen & ~field.mask).any()
        rows, columns = np.nonzero(seen)
        assert field.box == ((rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1))


def test_a_partition_is_counted_by_its_rule() -> None:
    tape = record(network(), (2, 3, 64, 80))
    counted = costs(tape)
    assert counted.coverage == 1.0
    (found,) = (o for o in counted.operators if o.name == "partition")
    # 4 * 5120 edges, 3 * 3 for each and log2(20480) -> 15 for sorting; 512 superpixels of 10 px; two images
    assert (found.count, found.macs, found.flops) == (1, 0, 2 * (20480 * (9 + 15) + 60 * 512))


def test_an_index_that_the_network_computes_otherwise_is_still_a_marked_bound() -> None:
    class Sorted(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.index_select(2, x[0, 0, :, 0].argsort())

    assert not receptive_field(Sorted(), (2, 6, 7)).exact


def test_proposals_are_part_of_the_graph() -> None:
    variants: list[dict[str, Any]] = [{"proposals": kind} for kind in KINDS]
    variants += [{"similarity": "selective_search"}, {"levels": 2}, {"regions": 13}, {"strategy": "fg"}]
    assert len({graph_hash(record(network(**axes), (1, 3, 64, 80))) for axes in variants}) == len(variants)


# -- the ceiling -----------------------------------------------------------------------------------------


def evaluated(model: RegionNetwork, count: int = 6) -> Evaluation:
    """The network on a synthetic dataset, with what it offers for its ceiling."""
    examples = boundaries(None, "val", (3, 64, 64), val_count=count, train_count=1)
    found = Segmentation.evaluate(model, examples)
    units = model.evaluation_units(Segmentation.prepare(examples.images), examples.targets)
    return Evaluation("segmentation", {**found.units, **units}, examples.names)


@pytest.mark.parametrize("kind", KINDS)
def test_no_network_is_better_than_its_ceiling(kind: str) -> None:
    for seed in range(4):
        model = network(seed, proposals=kind, regions=16, classes=2)
        found = evaluated(model)
        ceiling = proposal_ceiling(found)
        reached = miou(found).value
        assert isinstance(reached, float)
        assert reached <= ceiling.detail["upper"] + 1e-12
        assert ceiling.detail["majority"] <= ceiling.value <= ceiling.detail["upper"] + 1e-12


def test_a_network_that_knows_the_best_labelling_reaches_its_ceiling() -> None:
    """Scores made from the labelling that the metric found, pasted by the network, judged by the task."""
    examples = boundaries(None, "val", (3, 64, 64), val_count=3, train_count=1)
    model = network(proposals="grid", regions=16, classes=2)
    x = Segmentation.prepare(examples.images)
    units = model.evaluation_units(x, examples.targets)
    ceiling = proposal_ceiling(Evaluation("segmentation", units, examples.names))

    from bench.metrics.proposal_ceiling import best_labelling, filled

    labels = best_labelling(filled(units["proposals"])).reshape(3, -1)
    found = rectangles(x, 16, 4).pasted(torch.nn.functional.one_hot(torch.from_numpy(labels), 2).float())

    class Knowing(torch.nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return found

    assert miou(Segmentation.evaluate(Knowing(), examples)).value == pytest.approx(ceiling.value)


def test_finer_proposals_have_a_higher_ceiling_and_an_oracle_the_highest() -> None:
    ceilings = []
    for regions in (4, 16, 64):
        reading = proposal_ceiling(evaluated(network(proposals="grid", regions=regions, classes=2)))
        assert reading.detail["oracle"] >= reading.value
        ceilings.append(reading.value)
    assert ceilings == sorted(ceilings)
    assert ceilings[0] < ceilings[-1] < reading.detail["oracle"]
    assert proposal_ceiling(evaluated(network(regions=64, classes=2))).value > ceilings[-1]


def test_what_is_counted_for_the_ceiling_are_the_labelled_pixels_of_each_region() -> None:
    model, x = network(classes=3), images(2, 64, 64)
    labels = torch.randint(0, 3, (2, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels[:, :8] = 255
    units = model.evaluation_units(x, {"labels": labels})
    assert {name: u.shape for name, u in units.items()} == {"proposals": (2, 12, 3), "oracle": (2, 12, 3)}
    ids = model.partition(x)
    for n, region, label in ((0, 0, 0), (1, 5, 2), (1, 11, 1)):
        assert units["proposals"][n, region, label] == ((ids[n] == region) & (labels[n] == label)).sum()
    assert units["oracle"].sum() == units["proposals"].sum() == 2 * 56 * 64
