"""What a network offers of every image after training: kept beside the task's own units, for metrics of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.data.examples import Examples
from bench.results.frame import load
from bench.spec import ablation as ablations
from bench.spec.workload import Workload
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.settings import Options
from bench.sweep.training_run import _offered
from bench.tasks.segmentation import Segmentation

WORK = Workload("segmentation", "made up", (), (3, 4, 4), 2)


def examples(count: int = 5) -> Examples:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, 2, (count, 4, 4), dtype=np.uint8))
    return Examples(images, {"labels": labels}, ("a", "b"), 255, ((0, 0, 0), (1, 1, 1)))


class Offering(nn.Module):
    """Gives the mean of each prepared image and its number of pixels of class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def evaluation_units(self, images: Tensor, targets: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        assert not torch.is_grad_enabled()
        self.batches.append(len(images))
        return {"mean": images.mean((1, 2, 3)).numpy(), "ones": (targets["labels"] == 1).sum((1, 2)).numpy()}


class Failing(nn.Module):
    def evaluation_units(self, images: Tensor, targets: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        raise ImportError("needs something that is not here")


def test_it_is_asked_batch_by_batch_about_prepared_images_and_their_truth() -> None:
    model, given = Offering(), examples()
    units, told = _offered(model, given, Segmentation, WORK, batch=2)
    assert model.batches == [2, 2, 1]
    assert told == {}
    assert units["mean"] == pytest.approx(Segmentation.prepare(given.images).mean((1, 2, 3)).numpy())
    assert units["ones"].tolist() == (given.targets["labels"] == 1).sum((1, 2)).tolist()


def test_a_network_that_offers_nothing_is_not_asked() -> None:
    assert _offered(nn.Conv2d(3, 2, 1), examples(), Segmentation, WORK) == ({}, {})


def test_a_failure_is_told_and_does_not_end_the_trial() -> None:
    units, told = _offered(Failing(), examples(), Segmentation, WORK)
    assert units == {}
    assert "needs something that is not here" in told["evaluation_units"]["error"]


TEXT = """
question: How far do coarse proposals get?
architecture: region_proposals
baseline: {proposals: grid, regions: 16, stride: 4, backbone: vgg11, width: 0.05, fc_channels: 640, dropout: 0.0}
vary: {regions: [4]}
metrics: [miou, proposal_ceiling]
workload: {dataset: {name: boundaries, train_count: 8, val_count: 6}, shape: [3, 64, 64]}
train: {steps: 2, batch: 4, mode: fp32}
"""


def test_the_ceiling_is_reported_beside_the_score(store: Any, write: Any) -> None:
    ablation = ablations.load(write(TEXT), ())
    executor = LocalExecutor(1, ["bench.training.loop", "architectures.region_proposals"])
    try:
        plan = planning.plan(ablation, store)
        summary = sweep.run(plan, store, executor, Options(workers=1))
    finally:
        executor.stop()
    frame = load(store.path).pivot(index="variant", columns="metric", values="value")
    assert (summary.measured, summary.failed) == (4, 0)
    fine, coarse = frame.loc[[name for name in frame.index if "regions=16" in name]], frame
    assert (frame["miou"] <= frame["proposal_ceiling"]).all()
    assert fine["proposal_ceiling"].item() == coarse["proposal_ceiling"].max() > coarse["proposal_ceiling"].min()
