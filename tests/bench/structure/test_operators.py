"""All operators of torch and torchvision: each is counted, zero by a rule, or refused by name."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
import torch.nn.functional as F
import torchvision
from structure_cases import Run, plain
from torch import nn

from bench.structure.costs import MOVES, costs, treatment
from bench.structure.nodes import base_name
from bench.structure.tape import record


def overloads(namespace):
    names = [n.split("::")[1].split(".")[0] for n in torch._C._dispatch_get_all_op_names() if n.startswith(namespace)]
    for name in sorted(set(names)):
        packet = getattr(getattr(torch.ops, namespace), name)
        yield from (getattr(packet, overload) for overload in packet.overloads())


def has_tensors(arguments):
    return any("Tensor" in str(a.type) for a in arguments)


OPERATORS = [
    op
    for namespace in ("aten", "torchvision")
    for op in overloads(namespace)
    if has_tensors(op._schema.arguments) and has_tensors(op._schema.returns)
]
PRODUCTS = re.compile(
    "mm$|matmul|conv|linear|bilinear|dot$|cdist|pdist|embedding_bag|attention|lstm|gru|rnn|einsum|linalg|(?<!re)solve|cholesky"
    "|svd|inverse|det$|kron|outer|addr|deform|roi_|grid_sampl|fft|cross|trilinear|^mv$|^addmv"
)


def test_no_operator_that_multiplies_is_zero_or_taken_for_an_elementwise_one():
    assert len(OPERATORS) > 2000
    assert torchvision.extension._has_ops()
    wrong = set()
    for op in OPERATORS:
        name, fate = base_name(op), treatment(op)
        assert fate in ("counted", "zero", "refused")
        multiplies = PRODUCTS.search(name) and not name.startswith("upsample")
        if multiplies and (fate == "zero" or (fate == "counted" and torch.Tag.pointwise in op.tags)):
            wrong.add(name)
    assert wrong == set()


def test_operators_of_other_libraries_are_refused_whatever_their_names():
    assert treatment(torch.ops.quantized.add.default) == "refused"
    assert treatment(torch.ops.aten.add.Tensor) == "counted"
    assert treatment(torch.ops.aten.view.default) == "zero"
    assert treatment(torch.ops.aten.linalg_svd.default) == "refused"


RANDOM = {
    *("rand_like", "randn_like", "bernoulli", "uniform", "normal", "empty_like", "new_empty", "new_empty_strided"),
    *("exponential", "cauchy", "geometric", "log_normal"),
}
UNITS = {"_conj", "resolve_conj", "one_hot", "view_as_complex", "view_as_real"} | RANDOM
CHOICES = {
    "Tensor": [torch.arange(2.0, 18).reshape(1, 1, 4, 4) ** 1.5, torch.arange(4)],
    "int": [0, 1],
    "bool": [False],
}


def candidates(argument):
    kind = str(argument.type)
    if argument.has_default_value():
        return [argument.default_value]
    if kind.startswith("List[int]") or kind.startswith("List[SymInt]"):
        return [[0], [4, 4], [1, 1, 4, 4], [2, 2], [1, 1], [3, 2, 1, 0], [1, 1, 1, 1]]
    if kind == "List[Tensor]":
        return [[CHOICES["Tensor"][0]] * 2]
    return CHOICES.get(kind, [1])


def results(op):
    """(operands, results) of the first of some arguments that the operator takes; None if it takes none of them."""
    choices = [candidates(a) for a in op._schema.arguments if not a.kwarg_only]
    for arguments in itertools.islice(itertools.product(*choices), 60):
        try:
            result = op(*(a.clone() if isinstance(a, torch.Tensor) else a for a in arguments))
        except (RuntimeError, IndexError, TypeError, ValueError):
            continue
        tensors = result if isinstance(result, (tuple, list)) else [result]
        return arguments, [t.float() for t in tensors if isinstance(t, torch.Tensor)]
    return None


@pytest.mark.filterwarnings("ignore")
def test_operators_that_are_zero_by_a_rule_compute_nothing():
    """Each element of their results is an element of an operand, or a small number that was an argument."""
    ran, wrong = set(), set()
    for op in OPERATORS:
        name = base_name(op)
        moves = name in MOVES and name not in UNITS and op.namespace == "aten"
        if not moves or "out" in op._overloadname or op._overloadname == "dtype" or (run := results(op)) is None:
            continue
        operands = [a.reshape(-1).float() for a in run[0] if isinstance(a, torch.Tensor)]
        allowed = torch.cat([torch.arange(-1.0, 5), CHOICES["Tensor"][0].ravel(), *operands])
        ran.add(name)
        if not all(torch.isin(t, allowed).all() for t in run[1]):
            wrong.add(str(op))
    assert wrong == set()
    assert len(ran) > 50, sorted(ran)


def test_every_operator_is_counted_zero_or_refused():
    fates = [treatment(op) for op in OPERATORS]
    print({fate: fates.count(fate) for fate in ("counted", "zero", "refused")}, "of", len(OPERATORS))
    assert fates.count("counted") + fates.count("zero") + fates.count("refused") == len(OPERATORS)
    assert min(fates.count(fate) for fate in ("counted", "zero", "refused")) > 200


APARTS = {
    "slice_scatter": (lambda x: torch.slice_scatter(x, x[:, :, :4], 2, 0, 4), 0, 0),
    "select_scatter": (lambda x: torch.select_scatter(x, x[:, :, 0], 2, 1), 0, 0),
    "diagonal_scatter": (lambda x: torch.diagonal_scatter(x, x[:, :, 0], 0, 2, 3), 0, 0),
    "rot90": (lambda x: torch.rot90(x, 1, (2, 3)), 0, 0),
    "polar": (lambda x: torch.polar(x, x), 0, 4 * 192),
    "aminmax": (lambda x: x.aminmax(dim=-1)[0], 0, 2 * 192),
    "mse_loss": (lambda x: F.mse_loss(x, x + x, reduction="none"), 0, 3 * 192),
    "distances of many points": (lambda x: torch.cdist(x.view(1, 32, 6), x.view(1, 32, 6)), 32 * 32 * 8, None),
    "windows are tables": (lambda x: x * torch.hann_window(8), 0, 192),
}


@pytest.mark.parametrize("name", APARTS)
def test_operators_that_are_recorded_as_simpler_ones(name):
    compute, macs, flops = APARTS[name]
    x = torch.rand(1, 3, 8, 8)
    tape = record(plain(compute), x.shape)
    counted = costs(tape)
    assert tape.values[tape.output(0)].shape == compute(x).shape
    assert (counted.macs, counted.uncounted) == (macs, ())
    assert flops is None or counted.flops == flops


def test_an_operator_that_writes_and_returns_something_else_has_both():
    counted = costs(record(plain(lambda x: F.rrelu(x, training=True)), (1, 3)))
    assert (counted.flops, counted.coverage) == (2 * 3, 1)


COUNTED = {
    "convolution over time": (
        lambda: plain(lambda x: torch.conv_tbc(x, x.new_ones(3, 4, 5), x.new_ones(5))),
        (8, 2, 4),
        720,
    ),
    "bilinear": (lambda: Run(lambda self, x: self.form(x, x), form=nn.Bilinear(5, 5, 3)), (2, 5), 2 * 3 * 25),
    "outer product of vectors": (lambda: plain(lambda x: torch.addr(x.new_zeros(5, 5), x[0], x[0])), (1, 5), 25),
    "sum of batches": (lambda: plain(lambda x: torch.addbmm(x.new_zeros(5, 5), x, x)), (2, 5, 5), 2 * 125),
    "vdot": (lambda: plain(lambda x: torch.vdot(x[0], x[0])), (1, 5), 5),
    "linear in inference mode": (lambda: plain(torch.inference_mode()(lambda x: F.linear(x, x))), (2, 5), 2 * 2 * 5),
    "attention": (lambda: plain(lambda x: F.scaled_dot_product_attention(x, x, x)), (1, 2, 6, 4), 2 * 2 * 36 * 4),
    "tensordot": (lambda: plain(lambda x: torch.tensordot(x, x, dims=([1], [1]))), (3, 5), 45),
}


@pytest.mark.parametrize("name", COUNTED)
def test_operators_that_multiply_have_their_macs(name):
    make, shape, macs = COUNTED[name]
    counted = costs(record(make().eval(), shape))
    assert (counted.macs, counted.uncounted) == (macs, ())


def test_bags_of_embeddings_add_and_regions_sample():
    bag = Run(lambda self, x: self.bag((x * 3).long().clamp(0, 3)), bag=nn.EmbeddingBag(4, 6, mode="sum"))
    counted = {o.name: o for o in costs(record(bag, (2, 5))).operators}
    assert counted["_embedding_bag"].flops == 2 * 5 * 6
    align = plain(lambda x: torchvision.ops.roi_align(x, torch.zeros(3, 5), 2, sampling_ratio=2))
    counted = {o.name: o for o in costs(record(align, (1, 4, 8, 8))).operators}
    assert counted["roi_align"].flops == 3 * 4 * 2 * 2 * 4 * 8
    refused = plain(lambda x: torchvision.ops.roi_align(x, torch.zeros(3, 5), 2))
    assert costs(record(refused, (1, 4, 8, 8))).uncounted == ("roi_align",)


@pytest.mark.parametrize(("mode", "flops"), [("bilinear", 7), ("nearest", 0), ("bicubic", 31)])
def test_sampling_counts_by_its_mode(mode, flops):
    network = plain(lambda x: F.grid_sample(x, x.new_zeros(1, 3, 5, 2), mode=mode, align_corners=False))
    counted = {o.name: o.flops for o in costs(record(network, (1, 2, 8, 8))).operators}
    assert counted["grid_sampler_2d"] == flops * 2 * 15
