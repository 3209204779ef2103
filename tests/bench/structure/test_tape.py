"""A recording changes nothing about the network, and what it holds is what was executed."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from structure_cases import plain
from torch import nn
from torch.nn.utils import prune

from bench.structure.graph import activations, graph_hash, op_counts
from bench.structure.tape import StructureError, record

Pair = namedtuple("Pair", ["first", "second"])


def state(model: nn.Module) -> dict[str, object]:
    return {
        "tensors": {k: (id(v), v.clone()) for k, v in model.state_dict(keep_vars=True).items()},
        "flags": [m.training for m in model.modules()],
        "attributes": [(id(m), sorted(m.__dict__), {k: id(v) for k, v in m.__dict__.items()}) for m in model.modules()],
    }


def same(a: dict[str, object], b: dict[str, object]) -> bool:
    assert a["flags"] == b["flags"]
    assert a["attributes"] == b["attributes"]
    ours, theirs = a["tensors"], b["tensors"]
    return all(ours[k][0] == theirs[k][0] and torch.equal(ours[k][1], theirs[k][1]) for k in ours)  # type: ignore[index]


class Restless(nn.Module):
    """Writes to a buffer, sets attributes and appends to a list in its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(3))
        self.conv = nn.Conv2d(2, 2, 1)
        self.seen: list[torch.Tensor] = []
        self.last: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        self.last = self.conv(x)
        self.seen.append(x)
        return self.last * self.count[0]


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_what_it_was(training: bool) -> None:
    pruned = nn.Conv2d(2, 2, 3)
    prune.random_unstructured(pruned, "weight", 0.5)
    model = nn.Sequential(Restless(), nn.BatchNorm2d(2), pruned, nn.Dropout(), nn.LSTM(6, 2))
    model[1].eval()
    before = state(model)
    model[4].forward = lambda x: x  # type: ignore[method-assign]
    attributes = state(model)["attributes"]
    random = torch.random.get_rng_state()
    record(model, (1, 2, 8, 8), training=training)
    assert torch.equal(random, torch.random.get_rng_state())
    assert same({**before, "attributes": attributes}, state(model))
    assert model[0].seen == []
    assert not hasattr(model[0].count.untyped_storage(), "_fovbench_cell")


def test_huge_networks_are_recorded_without_their_weights() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Flatten(), *(nn.Linear(50_000, 50_000) for _ in range(4)))
    tape = record(model, (1, 5, 100, 100))
    assert tape.output(0) == len(tape.values) - 1
    assert op_counts(tape)["addmm"] == 4


def test_modules_and_outputs_are_named() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))

        def forward(self, x: torch.Tensor) -> dict[str, object]:
            y = self.stem(x)
            return {"map": y, "pair": Pair(y.mean(), [y + 1])}

    tape = record(Heads(), (1, 1, 8, 8))
    assert [name for name, _ in tape.outputs] == ["map", "pair.first", "pair.second.0"]
    assert set(tape.calls) == {"", "stem", "stem.0", "stem.1"}
    convolution = next(n for n in tape.nodes if n.name == "convolution")
    assert convolution.module == "stem.0"
    assert tape.calls["stem.0"][0].outputs == convolution.outputs
    assert tape.parameters["stem.0.weight"] in convolution.inputs


def test_a_dataclass_is_an_output() -> None:
    @dataclass
    class Result:
        logits: torch.Tensor
        loss: None = None

    tape = record(plain(lambda x: Result(x * 2)), (1, 1, 4, 4))
    assert [name for name, _ in tape.outputs] == ["logits"]


def test_numbers_that_depend_on_buffers_alone_are_known() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("steps", torch.tensor([1, 2, 3]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            total = torch.zeros((), device=x.device) + self.steps.sum()
            for _ in range(int(total.item())):
                x = x + 1
            return x if torch.arange(3, device=x.device).tolist() == [0, 1, 2] else -x

    assert op_counts(record(Counting(), (1, 1, 2, 2)))["add"] == 7


def test_an_operator_may_take_a_number_before_its_tensor() -> None:
    class Powers(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2**x + 10000 ** torch.arange(4, device=x.device)

    tape = record(Powers(), (1, 1, 4))
    first, second = (node for node in tape.nodes if node.name == "pow")
    assert first.inputs == tape.inputs
    assert tape.values[second.inputs[0]].shape == (4,)
    assert first.args[0] == 2


def test_what_cannot_be_recorded_says_where_and_why() -> None:
    class Inner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[x > 0]

    with pytest.raises(StructureError, match=r"in '2\.inner'"):
        record(nn.Sequential(nn.Identity()).append(nn.Identity()).append(_named(Inner())), (1, 1, 4, 4))
    with pytest.raises(StructureError, match="does not use it"):
        record(_named(nn.LazyConv2d(3, 3), call=False), (1, 1, 4, 4))


def _named(inner: nn.Module, call: bool = True) -> nn.Module:
    holder = nn.Module()
    holder.inner = inner
    holder.forward = lambda x: holder.inner(x) if call else x  # type: ignore[method-assign]
    return holder


# -- hash and counts -----------------------------------------------------------------------------------


def small(kernel: int = 3, inplace: bool = False) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, kernel, padding=kernel // 2), nn.BatchNorm2d(4), nn.ReLU(inplace=inplace))


def hashed(model: nn.Module) -> str:
    return graph_hash(record(model, (1, 3, 8, 8)))


def test_the_hash_does_not_depend_on_names_or_weights() -> None:
    first, second = small(), small()
    second[1].running_mean += 3
    assert hashed(first) == hashed(second)
    assert hashed(first) == hashed(nn.Sequential(nn.Identity(), small(inplace=True)))

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.z, self.a = nn.BatchNorm2d(4), nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.a(x) * 2  # a dead branch
            return self.z(self.a(x)).relu()

    assert hashed(first) == hashed(Other())


def test_the_hash_sees_what_is_computed() -> None:
    tied = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    untied = hashed(tied)
    tied[1] = tied[0]
    others = [small(5), nn.Sequential(small(), nn.ReLU()), small()[:2], tied]
    assert len({hashed(small()), untied, *map(hashed, others)}) == 6


def test_the_hash_sees_masks() -> None:
    from structure_cases import MaskedConv

    assert hashed(MaskedConv(3, 3, 3, "A", "buffer")) != hashed(MaskedConv(3, 3, 3, "B", "buffer"))


def test_counts_of_operators_and_activations() -> None:
    tape = record(small(), (1, 3, 8, 8))
    assert op_counts(tape) == {"convolution": 1, "native_batch_norm": 1, "relu": 1}
    # 4 x 64 elements by each of three operators; the convolution is the only product.
    assert activations(tape) == {"convolutions": 256, "products": 256, "all": 768}
