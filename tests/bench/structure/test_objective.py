"""Losses of networks told apart by what they compute, and by nothing else."""

import functools
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from bench.structure.objective import objective


@dataclass(frozen=True)
class Weights:
    """Of the parts of a loss."""

    auxiliary: float = 0.4


class Distance(nn.Module):
    """A loss that is a module."""

    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, outputs, targets):
        return (outputs - targets["x"]).abs().pow(self.power).sum()


class Net(nn.Module):
    """A network with a loss of its own, from attributes of many sorts, of which it names some."""

    def __init__(self, **attributes):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.stored = attributes.pop("stored", 0)
        self.weight = attributes.pop("weight", 1.0)
        self.parts = attributes.pop("parts", Weights())
        self.inner = attributes.pop("inner", nn.Identity())
        for name, value in attributes.items():
            setattr(self, name, value)

    def loss(self, outputs, targets):
        return self._weighted(outputs) + self.parts.auxiliary * self.inner(outputs).float().sum()

    def _weighted(self, outputs):
        return self.twice * sum(self.weight * part for part in outputs)

    @property
    def twice(self):
        return 2 * getattr(self, "scale", 1)


class Given(nn.Module):
    """A network that takes its loss as an argument."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss


def closure(power):
    def loss(outputs, targets):
        return outputs.pow(power).sum()

    return loss


def powered(outputs, targets, power):
    return outputs.pow(power).sum()


DIFFERENT = {
    "an attribute": (Net(), Net(weight=0.5)),
    "an object's field": (Net(), Net(parts=Weights(0.2))),
    "a module": (Net(), Net(inner=nn.Dropout(0.5))),
    "a module's setting": (Net(inner=nn.Dropout(0.1)), Net(inner=nn.Dropout(0.2))),
    "a module of one's own": (Net(inner=Distance(1)), Net(inner=Distance(2))),
    "a loss in place of the method": (Net(), Given(Distance(1))),
    "a loss that is a module": (Given(Distance(1)), Given(Distance(2))),
    "a closure": (Given(closure(1)), Given(closure(2))),
    "a part bound before": (
        Given(functools.partial(powered, power=1)),
        Given(functools.partial(powered, power=2)),
    ),
    "two functions": (Given(closure(1)), Given(powered)),
    "two lambdas": (Given(lambda o, t: o.sum()), Given(lambda o, t: o.mean())),
    "the task's own": (Net(), nn.Linear(2, 2)),
}
SAME = {
    "weights": (Net(), Net()),
    "an attribute that the loss does not name": (Net(), Net(stored=1)),
    "none at all": (nn.Linear(2, 2), Given(None)),
    "closures over equal values": (Given(closure(1)), Given(closure(1))),
}


@pytest.mark.parametrize("sort", DIFFERENT)
def test_losses_that_differ_are_told_apart(sort):
    one, other = DIFFERENT[sort]
    assert objective(one) != objective(other)


@pytest.mark.parametrize("sort", SAME)
def test_losses_that_are_the_same_are_one(sort):
    one, other = SAME[sort]
    assert objective(one) == objective(other)


def test_no_loss_of_its_own_is_empty():
    assert objective(nn.Linear(2, 2)) == "" != objective(Net())


def test_an_object_that_holds_itself_comes_to_an_end():
    net = Net()
    net.parts = [net]
    net.loss_too = net.loss
    assert objective(net)


def test_the_digest_holds_no_address():
    with torch.device("meta"):
        other = Net(inner=nn.Sequential(nn.Linear(2, 2), Distance(1)))
    assert objective(other) == objective(Net(inner=nn.Sequential(nn.Linear(2, 2), Distance(1))))
