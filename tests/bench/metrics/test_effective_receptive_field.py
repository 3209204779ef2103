"""The metrics on effective receptive fields, at initialisation and after training, down to the stored evaluation."""

from __future__ import annotations

import copy
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from bench.data.examples import Examples
from bench.hardware.subject import Subject
from bench.metrics import effective_receptive_field as module
from bench.metrics.effective_receptive_field import RUNS, effective_receptive_field, trained_field
from bench.metrics.trained_effective_receptive_field import FACT, trained_effective_receptive_field
from bench.results.measurement import Evaluation
from bench.spec.workload import Workload
from bench.sweep import training_run
from bench.tasks.segmentation import Segmentation


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 5, padding=2))


def test_at_initialisation_it_lies_within_the_theoretical_field() -> None:
    before = torch.get_rng_state()
    first, second = (effective_receptive_field(Subject(network, (3, 20, 24))) for _ in range(2))
    assert first == second
    assert not first.exact
    detail = first.detail
    assert detail["box"] == ((7, 14), (9, 16))
    assert isinstance(first.value, float)
    assert 0 < first.value < 3.5 * 2**0.5
    assert len(set(detail["radii"])) == detail["runs"] == RUNS
    assert 0 < detail["share_of_box"] <= 1
    assert np.array(detail["map"]).shape == (20, 24)
    torch.set_rng_state(before)
    assert effective_receptive_field(Subject(network, (3, 20, 24), seed=1)).value != first.value


def test_the_runs_are_networks_of_their_own_and_move_no_generator() -> None:
    subject = Subject(network, (3, 8, 8))
    assert subject.model is not None
    before = torch.get_rng_state()
    effective_receptive_field(subject)
    assert torch.equal(torch.get_rng_state(), before)
    drawn = [next(iter(model.parameters())) for model, _ in module._fresh(subject)]
    assert not any(torch.equal(a, b) for a, b in pairwise(drawn))


def test_a_network_without_gradient_has_no_number_and_a_reason() -> None:
    class Labels(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.argmax(1)

    reading = effective_receptive_field(Subject(Labels, (3, 8, 8)))
    assert (reading.value, reading.error) == (None, None)
    assert "no gradient" in reading.detail["why"]


def examples(count: int = 20) -> Examples:
    images = torch.randint(0, 256, (count, 3, 16, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = {"labels": torch.zeros(count, 16, 20, dtype=torch.uint8)}
    return Examples(images, labels, ("a", "b"), 255, ((0, 0, 0), (1, 1, 1)))


WORK = Workload("segmentation", "", (), (3, 16, 20), 4)


def test_after_training_it_is_of_a_few_images_and_leaves_the_network_alone() -> None:
    model = network().eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    facts = training_run._seen(model, examples(), Segmentation, WORK)
    assert facts["runs"] == 7  # every third of 20
    images = Segmentation.prepare(examples().images[::3])
    assert facts == json.loads(json.dumps(trained_field(model, images, "cpu")))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
    reading = trained_effective_receptive_field(Evaluation("segmentation", {}, facts={FACT: facts}))
    assert (reading.value, reading.error) == (facts["radius"], None)
    assert reading.detail["box"] == [[5, 12], [7, 14]]


def test_what_goes_wrong_is_told_and_ends_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr(module, "trained_field", fails)
    facts = training_run._seen(network(), examples(), Segmentation, WORK)
    assert facts == {"error": "failed: RuntimeError: no kernel for this"}
    reading = trained_effective_receptive_field(Evaluation("segmentation", {}, facts={FACT: facts}))
    assert reading.error == "failed: RuntimeError: no kernel for this"


def test_an_evaluation_kept_from_earlier_says_that_it_has_none() -> None:
    reading = trained_effective_receptive_field(Evaluation("segmentation", {}))
    assert reading.value is None
    assert reading.error is not None
    assert "before effective receptive fields were stored" in reading.error
