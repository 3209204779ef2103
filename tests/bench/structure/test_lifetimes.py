"""Peak memory by hand: which storages live together."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.structure.allocation import Allocator, cuda_allocator
from bench.structure.lifetimes import inference, training
from bench.structure.tape import StructureError, record

MIB = 2**20
MAP = 4 * 8 * 8 * 4  # bytes of 4 channels of 8 x 8 in float32
WEIGHTS = (4 * 4 * 9 + 4) * 4


def convolutions(depth: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(depth)))


def test_inference_holds_the_input_one_map_and_the_next() -> None:
    memory = inference(record(convolutions(5), (1, 4, 8, 8)))
    assert memory.weights == 5 * WEIGHTS
    # The caller keeps the input; a map is dropped once the next one stands.
    assert memory.activations == 3 * MAP
    assert memory.peak == 3 * MAP + 5 * WEIGHTS


def test_a_skip_keeps_its_map() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = convolutions(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = self.body[0](x)
            return first + self.body[1:](first)

    # Input, the saved map, a map and its successor (at the end: and the sum).
    assert inference(record(Skip(), (1, 4, 8, 8))).activations == 4 * MAP


def test_in_place_takes_no_memory_of_its_own() -> None:
    plain, in_place = (nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=i)) for i in (False, True))
    sizes = [inference(record(m, (1, 4, 8, 8))).activations for m in (plain, in_place)]
    assert sizes == [3 * MAP, 2 * MAP]


def test_allocators_round_up() -> None:
    memory = inference(record(nn.Conv2d(1, 1, 1), (1, 1, 4, 4)), Allocator(block=512))
    assert (memory.activations, memory.weights) == (1024, 1024)


def test_training_keeps_what_the_backward_pass_needs() -> None:
    memory = training(convolutions(3), (1, 4, 8, 8), optimizer="adamw")
    assert memory.weights == 3 * WEIGHTS
    assert memory.optimizer == 6 * WEIGHTS
    # Forward: input and three maps, of which the last only the loss refers to.
    assert 3 * MAP <= memory.activations <= 4 * MAP + 16
    assert training(convolutions(3), (1, 4, 8, 8), optimizer="sgd").optimizer == 3 * WEIGHTS
    deeper = training(convolutions(6), (1, 4, 8, 8))
    assert deeper.activations - memory.activations >= 2 * MAP


def test_a_training_step_leaves_no_trace() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval()
    mean = model[1].running_mean
    training(model, (2, 4, 8, 8))
    assert model[1].running_mean is mean
    assert not mean.any()
    assert not model[1].training
    assert all(p.grad is None and not p.is_meta for p in model.parameters())


def test_refusals() -> None:
    with pytest.raises(StructureError, match="no optimizer"):
        training(nn.Conv2d(1, 1, 1), (1, 1, 4, 4), optimizer="lion")
    with pytest.raises(StructureError, match="trained parameter"):
        training(nn.ReLU(), (1, 1, 4, 4))


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (1, 512),
        (512, 512),
        (3 * MIB + 1, 3 * MIB + 512),
        (10 * MIB, 10 * MIB),
        (11 * MIB - 512, 12 * MIB - MIB - 512),  # the rest of 1 MiB and 512 bytes is split off
        (11 * MIB, 12 * MIB),  # a rest of 1 MiB is not
        (12 * MIB, 12 * MIB),
    ],
)
def test_cuda_gives_blocks_of_512_bytes_and_whole_segments_of_2_mib(wanted: int, given: int) -> None:
    assert cuda_allocator(reorders=True).size(wanted) == given


REORDERING = Allocator(reorders=True)


@pytest.mark.parametrize(
    ("layer", "copies"),
    [
        (nn.Conv2d(4, 4, 3, padding=1), 2 * MAP + 4 * 4 * 9 * 4),  # input, output, weights
        (nn.Conv2d(4, 4, 1), 0),  # a matrix product
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), 0),  # a kernel of its own
        (nn.ReLU(), 0),
    ],
)
def test_convolutions_of_tensor_cores_copy_their_tensors(layer: nn.Module, copies: int) -> None:
    memory = inference(record(layer, (1, 4, 8, 8)), REORDERING)
    assert (memory.activations, memory.kernels) == (2 * MAP, copies)
    assert memory.peak == memory.weights + 2 * MAP + copies


def test_the_backward_pass_of_a_convolution_copies_too() -> None:
    plain, reordering = (training(convolutions(3), (1, 4, 8, 8), allocator=a) for a in (Allocator(), REORDERING))
    assert plain.kernels == 0
    assert reordering.kernels == 2 * MAP + 4 * 4 * 9 * 4
    assert plain.peak < reordering.peak <= plain.peak + reordering.kernels
