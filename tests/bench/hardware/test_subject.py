"""How a workload states that the forward pass runs: layout, compilation, CUDA graph."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import nn

from bench.hardware.subject import Subject
from bench.results.keys import Request
from bench.spec.ablation import AblationError, load
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.subjects import subject_of

ABLATION = "question: q?\narchitecture: fcn\nmetrics: [latency]\nworkload: "


class Watching(nn.Module):
    """Remembers the memory format of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.channels_last = x.is_contiguous(memory_format=torch.channels_last)
        return self.conv(x)


def subject(**how: object) -> Subject:
    return Subject(build=Watching, shape=(3, 8, 8), batch=2, **how)  # type: ignore[arg-type]


def test_channels_last_reaches_weights_and_input_and_changes_no_value() -> None:
    plain, other = subject(), subject(layout="channels_last")
    torch.testing.assert_close(plain.forward(), other.forward())
    assert not plain.model.channels_last
    assert other.model.channels_last
    assert other.model.conv.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr]


def test_channels_last_of_a_signal_is_refused() -> None:
    with pytest.raises(ValueError, match="channels_last needs an input of shape C,H,W"):
        _ = dataclasses.replace(subject(layout="channels_last"), shape=(3, 8)).inputs


def test_a_compiled_forward_runs_what_torch_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []

    def compile(model: nn.Module) -> nn.Module:
        compiled.append(model)
        return nn.Sequential(model, nn.Flatten())

    monkeypatch.setattr(torch, "compile", compile)
    network = subject(compile=True)
    assert network.forward().shape == (2, 4 * 6 * 6)
    assert compiled == [network.model]
    assert subject().forward().shape == (2, 4, 6, 6)


def test_a_graph_on_a_cpu_is_refused_everywhere(tmp_path) -> None:
    with pytest.raises(ValueError, match="CUDA graphs need a CUDA device, not 'cpu'"):
        _ = subject(graph=True).forward
    with pytest.raises(ValueError, match="CUDA graphs need a CUDA device"):
        Workload("", "", (), (3, 8, 8), 1, graph=True)
    (tmp_path / "a.yaml").write_text(ABLATION + "{graph: true}\n")
    with pytest.raises(AblationError, match=r"a\.yaml.*CUDA graphs need a CUDA device, not 'cpu'"):
        load(tmp_path / "a.yaml")


def test_an_unknown_layout_is_refused_with_its_line(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text(ABLATION + "{layout: sideways}\n")
    with pytest.raises(AblationError, match=r"workload\.layout.*channels_last"):
        load(tmp_path / "a.yaml")


def test_the_options_reach_speed_measurements_and_no_static_one() -> None:
    work = Workload("segmentation", "", (), (3, 8, 8), 4, layout="channels_last", compile=True)
    requests = {kind: Request("", Variant("fcn", ()), work, "m", kind, None) for kind in ("static", "speed")}
    subjects = {kind: subject_of(request, ()) for kind, request in requests.items()}
    assert (subjects["speed"].layout, subjects["speed"].compile) == ("channels_last", True)
    assert (subjects["static"].layout, subjects["static"].compile) == ("contiguous", False)


def test_workloads_of_old_rows_still_load() -> None:
    old = json.loads('{"task": "", "dataset": "", "dataset_axes": [], "shape": [3, 8, 8], "batch": 1, "device": "cpu"}')
    assert Workload(**old).options == {}
    assert Workload(**old, compile=True).options == {"compile": True}
