"""What torch.compile makes of small networks: where it breaks their graph, and how many kernels it generates."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor, nn

from bench.hardware.subject import Subject
from bench.metrics.fused_kernels import fused_kernels
from bench.metrics.graph_breaks import graph_breaks
from bench.registry.errors import DoesNotApplyError
from bench.sweep.isolation import Isolation, SharedSubject
from bench.sweep.process_state import ProcessState


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)))


class Branch(Plain):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if x.sum() > 0:
            x = x * 2
        return self.last(x)


class Disabled(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(self._first(x))

    @torch.compiler.disable
    def _first(self, x: Tensor) -> Tensor:
        return self.first(x)


class Loop(Plain):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        while x.sum() > 1e6:
            x = x / 2
            torch._dynamo.graph_break()
        return self.last(x)


class Several(Disabled):
    def forward(self, x: Tensor) -> Tensor:
        x = self._first(x)
        if x.mean() < 1e6:
            x = x + 1
        return self.last(torch.relu(x))


class Crash(Plain):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("oops")


class Pointwise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x * 2 + 1).sin()


def subject(network: type[nn.Module]) -> Subject:
    return Subject(network, (3, 8, 8))


@pytest.mark.parametrize(("network", "breaks"), [(Plain, 0), (Branch, 1), (Disabled, 1), (Several, 2)])
def test_each_place_that_torch_compile_cannot_follow_is_a_break(network: type[nn.Module], breaks: int) -> None:
    reading = graph_breaks(subject(network))
    assert reading.value == breaks
    assert len([text for text in reading.detail["reasons"].split("; ") if text]) == breaks
    assert graph_breaks(subject(network)) == reading, "a second measurement in the process gives the same"


def test_a_break_is_said_by_the_line_of_code_without_its_number() -> None:
    reasons = graph_breaks(subject(Branch)).detail["reasons"]
    assert "in forward: if x.sum() > 0:" in reasons
    assert ".py" not in reasons


def test_a_loop_that_stays_in_python_as_a_whole_is_no_network_without_breaks() -> None:
    assert graph_breaks(subject(Loop)).value >= 1


def test_a_job_finds_everything_as_it_was_after_the_metric() -> None:
    state = ProcessState()
    shared = SharedSubject(subject(Branch), state)
    assert shared.view.model
    assert Isolation(state, shared)(graph_breaks).value == 1


def test_an_error_of_the_network_is_its_own() -> None:
    with pytest.raises(ValueError, match="oops"):
        graph_breaks(subject(Crash))


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang") is None, reason="no C++ compiler")
def test_pointwise_operators_are_one_kernel() -> None:
    reading = fused_kernels(subject(Pointwise))
    assert reading.value == 1
    assert reading.detail == {"before_fusion": 1, "library_calls": 0}


def test_without_a_compiler_the_number_of_kernels_is_not_measured_and_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    with pytest.raises(DoesNotApplyError, match=r"needs a C\+\+ compiler"):
        fused_kernels(subject(Pointwise))
