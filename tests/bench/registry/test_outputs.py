"""Which tensor of a network's result is scored, and at which size."""

from __future__ import annotations

import copy
import pickle
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.registry.outputs import OutputError, WeightedLoss, fit, fit_of

MAIN, OTHER = torch.full((2, 3, 4, 4), 1.0), torch.full((2, 3, 4, 4), 2.0)
IMAGES = torch.zeros(2, 3, 8, 6)

Named = namedtuple("Named", "first logits")


@dataclass
class Record:
    first: Tensor
    out: Tensor


@dataclass
class Optional:
    maps: Tensor | None
    hidden: Tensor | None = None


class Slotted:
    """An object whose logits are no attribute of its own dictionary."""

    __slots__ = ("first", "logits")

    def __init__(self) -> None:
        self.first, self.logits = OTHER, MAIN


class Giving(nn.Module):
    """A network that returns what it was made with, in training and in evaluation."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def forward(self, images: Tensor) -> Any:
        return self.result


@pytest.mark.parametrize(
    ("result", "place"),
    [
        (MAIN, ""),
        ({"aux": OTHER, "out": MAIN}, "out"),
        ({"aux": OTHER, "logits": MAIN}, "logits"),
        ({"logits": OTHER, "out": MAIN}, "out"),
        ({"maps": MAIN}, "maps"),
        ({"maps": MAIN, "loss": None, "names": "a"}, "maps"),
        (Record(OTHER, MAIN), "out"),
        (Optional(MAIN), "maps"),
        (Named(OTHER, MAIN), "logits"),
        (SimpleNamespace(aux=OTHER, logits=MAIN), "logits"),
        (Slotted(), "logits"),
        ([MAIN, OTHER], "0"),
        ((MAIN, OTHER), "0"),
        ((None, MAIN), "1"),
        ({"out": (MAIN, OTHER)}, "out.0"),
        ({"out": {"logits": MAIN}}, "out.logits"),
    ],
)
def test_the_main_output_is_found_by_the_rule(result, place):
    network = fit(Giving(result), "pose", None).eval()
    assert network(IMAGES) is MAIN
    assert fit_of(network).chosen(network, result)[0] == place


@pytest.mark.parametrize(
    ("result", "key"),
    [
        ({"out": OTHER, "aux": MAIN}, "aux"),
        ({"x": OTHER, "y": MAIN}, "y"),
        ([OTHER, MAIN], -1),
        ([OTHER, MAIN], 1),
        (Named(MAIN, OTHER), "first"),
        (Named(MAIN, OTHER), 0),
        ({"deep": [MAIN, OTHER], "out": OTHER}, "deep"),
    ],
)
def test_a_key_names_another_output(result, key):
    assert fit(Giving(result), "pose", key).eval()(IMAGES) is MAIN


@pytest.mark.parametrize(
    ("result", "key", "message"),
    [
        (
            {"x": MAIN, "y": OTHER},
            None,
            r"Giving gave dict with x \(2, 3, 4, 4\), y .* as output: KEY \(there is: x, y\)",
        ),
        ({"out": MAIN}, "aux", r"there is no output 'aux' \(there is: out\)"),
        ([MAIN], 3, r"there is no output 3 \(there is: 0\)"),
        ("text", None, "Giving gave a str: there is no tensor"),
        (MAIN, "aux", r"gave a tensor of shape \(2, 3, 4, 4\): there is no output 'aux' \(there is: none\)"),
        ({}, None, "gave a dict: there is no tensor"),
    ],
)
def test_what_cannot_be_chosen_names_the_outputs(result, key, message):
    with pytest.raises(OutputError, match=message):
        fit(Giving(result), "pose", key).eval()(IMAGES)


def test_scores_of_pixels_get_the_size_of_the_image():
    scores = torch.randn(2, 3, 4, 3, generator=torch.Generator().manual_seed(0))
    network = fit(Giving({"out": scores, "aux": OTHER}), "segmentation", None).eval()
    assert torch.equal(network(IMAGES), F.interpolate(scores, (8, 6), mode="bilinear", align_corners=False))
    said = fit_of(network).described(network, (IMAGES,))
    assert said == "'out' of dict with out (2, 3, 4, 3), aux (2, 3, 4, 4), resized bilinearly to 8 x 6"


@pytest.mark.parametrize(
    ("task", "result"), [("pose", MAIN), ("segmentation", torch.zeros(2, 5)), ("classification", MAIN)]
)
def test_other_results_keep_their_size(task, result):
    assert fit(Giving(result), task, None).eval()(IMAGES) is result


def test_in_training_a_loss_of_the_network_gets_its_own_result():
    class Losing(Giving):
        def loss(self, outputs, targets):
            return outputs["aux"].sum()

    result = {"out": MAIN, "aux": OTHER}
    network = fit(Losing(result), "segmentation", None)
    assert network.train()(IMAGES) is result
    assert network.eval()(IMAGES).shape == (2, 3, 8, 6)


def test_weights_of_auxiliary_outputs_add_their_losses():
    from bench.tasks.segmentation import Segmentation

    main, other = torch.randn(2, 2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    network = Giving({"out": main, "aux": other, "unused": OTHER})
    network.loss_weights = {"aux": 0.25}
    network = fit(network, "segmentation", None).train()
    targets = {"labels": torch.randint(0, 3, (2, 8, 6), generator=torch.Generator().manual_seed(1)).byte()}
    own = Segmentation.loss(main, targets) + 0.25 * Segmentation.loss(other, targets)
    assert float(network.loss(network(IMAGES), targets)) == pytest.approx(float(own))
    assert network.eval()(IMAGES) is main
    assert copy.deepcopy(network).loss == WeightedLoss("segmentation", {"aux": 0.25})


def test_copies_and_pickles_of_a_network_are_fitted_too():
    network = fit(nn.Sequential(nn.Conv2d(3, 2, 3, stride=2)), "segmentation", None)
    expected = network(IMAGES)
    assert expected.shape == (2, 2, 8, 6)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(IMAGES), expected)
    assert list(network.state_dict()) == ["0.weight", "0.bias"]
