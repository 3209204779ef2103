"""Bytes moved, by hand."""

from __future__ import annotations

import math

import torch
from torch import nn

from bench.structure.costs import costs
from bench.structure.tape import record
from bench.structure.traffic import Work, traffic


def works(model: nn.Module, shape: tuple[int, ...]) -> dict[str, Work]:
    return {work.name: work for work in traffic(record(model, shape))}


class Of(nn.Module):
    """A function as a network."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)  # type: ignore[no-any-return, operator]


def test_a_convolution_reads_input_and_weights_and_writes_its_output() -> None:
    (work,) = works(nn.Conv2d(3, 8, 3), (2, 3, 10, 10)).values()
    # input 2 x 3 x 10 x 10, weight 8 x 3 x 3 x 3, bias 8, output 2 x 8 x 8 x 8, in fp32
    assert work.moved == 4 * (600 + 216 + 8 + 1024)
    # a MAC is two: 1024 x 27 of them, and a bias per output element
    assert work.flops == 2 * 1024 * 27 + 1024
    assert work.intensity == work.flops / work.moved


def test_half_precision_moves_half_the_bytes() -> None:
    model = nn.Conv2d(3, 8, 3).to(torch.bfloat16)
    tape = record(model, [torch.empty(2, 3, 10, 10, dtype=torch.bfloat16)])
    assert sum(w.moved for w in traffic(tape)) == 2 * (600 + 216 + 8 + 1024)


def test_views_move_nothing_and_in_place_operators_move_what_they_touch() -> None:
    assert works(Of(lambda x: x.transpose(1, 2)), (1, 4, 6))["transpose"].moved == 0
    assert works(Of(lambda x: (x * 2).relu_()), (1, 4, 6))["relu"].moved == 2 * 4 * 24
    assert works(Of(lambda x: x[:, 1:].clone()), (1, 4, 6))["clone"].moved == 2 * 4 * 18


def test_an_operand_twice_is_read_once() -> None:
    assert works(Of(lambda x: x * x), (1, 4, 6))["mul"].moved == 2 * 4 * 24


def test_a_broadcast_operand_counts_with_the_memory_it_has() -> None:
    wide = Of(lambda x: x.mean(0).expand(100, 4) + 1)
    assert works(wide, (5, 4))["add"].moved == 4 * (4 + 400)


def test_a_lookup_reads_of_its_table_what_it_returns() -> None:
    (work,) = traffic(record(nn.Embedding(1000, 8), [torch.zeros(3, dtype=torch.long)]))
    assert work.moved == 3 * 8 * 4 + 3 * 8 + 3 * 8 * 4  # rows, indices of 8 bytes, result


def test_flops_are_those_of_the_costs() -> None:
    tape = record(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)), (1, 3, 12, 12))
    assert sum(w.flops for w in traffic(tape)) == costs(tape).flops
    assert all(w.counted for w in traffic(tape))


def test_what_moves_nothing_has_no_finite_intensity() -> None:
    assert Work("view", "", 0, 0, True).intensity == math.inf
