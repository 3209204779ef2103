"""Networks built without their random numbers: what they are, and which ones cannot be."""

import pytest
import torch
from torch import nn

from bench.hardware.subject import Subject
from bench.metrics.receptive_field import receptive_field
from bench.registry.catalogue import declarations
from bench.registry.targets import runnable
from bench.structure.costs import costs
from bench.structure.graph import graph_hash
from bench.structure.tape import record
from bench.structure.unfilled import unfilled

SHAPE = (3, 64, 64)


class Masked(nn.Module):
    """A convolution and one more attribute, made from its weight by `make`."""

    def __init__(self, make):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        make(self)

    def forward(self, x):
        return self.conv(x)


def draw_mask(net):
    net.register_buffer("mask", torch.zeros(4, 3, 3, 3).bernoulli_())


def prune(net):
    net.register_buffer("mask", net.conv.weight.detach() > 0)


def freeze(net):
    net.conv.weight.requires_grad_(False)


def keep_in_a_list(net):
    net.tables = [torch.rand(4)]


def keep_in_a_closure(net):
    table = torch.rand(4)
    net.look_up = lambda: table


def shuffle(net):
    net.order = torch.randperm(4).tolist()


def ask(net):
    net.conv.stride = (2, 2) if net.conv.weight.mean() > 0 else (1, 1)


def draw_over_zeros(net):
    net.scale = nn.Parameter(torch.zeros(4).normal_())


def ask_and_swallow(net):
    try:
        draw_mask(net)
    except RuntimeError:
        net.register_buffer("mask", torch.ones(4, 3, 3, 3))


NEEDING = (draw_mask, prune, freeze, keep_in_a_list, keep_in_a_closure, shuffle, ask, draw_over_zeros, ask_and_swallow)


@pytest.mark.parametrize("make", NEEDING, ids=lambda make: make.__name__)
def test_a_constructor_that_computes_with_random_numbers_needs_them(make):
    assert unfilled(lambda: Masked(make)) is None
    subject = Subject(lambda: Masked(make), (3, 8, 8))
    assert subject.structure is subject.model
    assert not any(t.is_meta for t in subject.model.state_dict().values())


def nothing(net):
    """A plain network."""


def fixed(net):
    net.register_buffer("mask", torch.tril(torch.ones(3, 3)))
    net.norm = nn.BatchNorm2d(4)
    net.table = [torch.arange(4)]


@pytest.mark.parametrize("make", [nothing, fixed])
def test_trained_weights_stand_on_meta_and_all_else_has_values(make):
    net = unfilled(lambda: Masked(make))
    assert net is not None
    assert net.conv.weight.is_meta
    assert not any(b.is_meta for b in net.buffers())
    if make is fixed:
        assert net.mask.sum() == 6
        assert torch.equal(net.norm.running_var, torch.ones(4))
        assert net.table[0].tolist() == [0, 1, 2, 3]


def test_an_error_of_the_builder_and_what_is_no_network_are_left_to_the_caller():
    def fails():
        raise ValueError("no such width")

    assert unfilled(fails) is None
    assert unfilled(lambda: {"a": 1}) is None
    with pytest.raises(ValueError, match="no such width"):
        _ = Subject(fails, (3, 8, 8)).structure
    with pytest.raises(TypeError, match="the builder returned a dict"):
        _ = Subject(lambda: {"a": 1}, (3, 8, 8)).structure


def draw_with_negative_deviation(net):
    nn.init.normal_(net.conv.weight, std=-1.0)


def test_an_operator_that_only_fills_is_not_run_and_one_that_would_raise_is():
    assert unfilled(lambda: Masked(draw_with_negative_deviation)) is None
    with pytest.raises(RuntimeError, match="std"):
        Masked(draw_with_negative_deviation)
    net = unfilled(lambda: Masked(lambda net: nn.init.normal_(nn.init.zeros_(net.conv.weight), std=0.1)))
    assert net.conv.weight.is_meta


def test_random_generators_are_left_as_they_were():
    before = torch.get_rng_state()
    assert unfilled(lambda: Masked(nothing)) is not None
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_that_stands_already_is_not_built_again():
    built = []
    subject = Subject(lambda: built.append(1) or Masked(nothing), (3, 8, 8))
    assert subject.model is subject.structure
    assert len(built) == 1


def test_the_dtype_is_that_of_the_model():
    assert Subject(lambda: Masked(nothing), (3, 8, 8), dtype="bfloat16").structure.conv.weight.dtype is torch.bfloat16


FAMILIES = declarations().architectures


def narrow(family):
    """Fewer channels, of a family that has such a factor."""
    return {a.name: 0.125 for a in family.axes if a.name == "width" and a.kind == "float"}


@pytest.mark.parametrize("name", [family.name for family in FAMILIES if family.task == "segmentation"])
def test_what_is_read_of_a_registered_family_is_the_same_with_and_without_values(name):
    family = runnable(name)
    blank, filled = (
        construct(lambda: family.build(**narrow(family))) for construct in (unfilled, lambda build: build())
    )
    assert blank is not None, "drawn over memory that has values, or computed with: 200 of these take a minute longer"
    assert read_off(blank.eval()) == read_off(filled.eval())


def read_off(net):
    tape = record(net, (1, *SHAPE))
    field = receptive_field(net, SHAPE)
    counted = costs(tape)
    sizes = [(name, p.shape, p.requires_grad) for name, p in net.named_parameters()]
    return graph_hash(tape), field.box, field.density, counted.macs, counted.live, counted.flops, sizes
