from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from bench.spec.recipe import Recipe
from bench.tasks.segmentation import Segmentation
from bench.training import precision, probe
from bench.training.loop import fit
from bench.training.modes import MODES
from bench.training.precision import FALLBACK, Admission, Layer, admit, layers_of
from bench.training.probe import TOLERANCE, Probe, fault_of

FAST = ("bf16+channels_last", "bf16", "channels_last")
SHAPE = (8, 12, 12)


@pytest.fixture(autouse=True)
def _capable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with bf16 instructions, whatever the tests run on: others are refused before they are probed."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", "avx512_bf16": True})


def _planted() -> Any:
    """planted.py under a name that no import finds."""
    spec = importlib.util.spec_from_file_location("planted_by_path", Path(__file__).with_name("planted.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["planted_by_path"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


planted = _planted()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved probes, shared by the tests below as by the workers of one sweep."""
    return tmp_path_factory.mktemp("modes")


@pytest.fixture(scope="module")
def probes(cache: Path) -> dict[str, dict[str, Probe]]:
    """Each planted layer in each precision mode, by class name."""
    kinds = ("Right", "WrongInBf16", "WrongInBf16ChannelsLast", "WrongLater", "Kills", "Raises", "Unsendable")
    layers = [layers_of(getattr(planted, kind)(), (2, *SHAPE), "cpu")[0] for kind in kinds]
    by_mode = precision._probes(layers, FAST, "cpu", cache)
    return {kind: {mode: by_mode[mode][index] for mode in FAST} for index, kind in enumerate(kinds)}


def test_a_right_layer_has_no_fault_and_a_time(probes: dict[str, dict[str, Probe]]) -> None:
    for probe_result in probes["Right"].values():
        assert probe_result.fault is None
        assert probe_result.seconds is not None
        assert probe_result.seconds > 0
    assert set(probes["Right"]["bf16"].errors) == {"output 0", "gradient of input 0", "gradient of weight"}


@pytest.mark.parametrize(
    ("kind", "mode", "fault"),
    [
        ("WrongInBf16", "bf16", "gradient of weight off by 1 of its norm"),
        ("WrongInBf16", "bf16+channels_last", "gradient of weight off by 1 of its norm"),
        ("WrongInBf16", "channels_last", None),
        ("WrongInBf16ChannelsLast", "bf16+channels_last", "gradient of input 0 off by 1 of its norm"),
        ("WrongInBf16ChannelsLast", "bf16", None),
        ("WrongLater", "bf16", "off by 1 of its norm"),
        ("Kills", "bf16+channels_last", "ends its process (SIGSEGV)"),
        ("Kills", "channels_last", "ends its process (SIGSEGV)"),
        ("Kills", "bf16", None),
        ("Raises", "bf16", "raises TypeError: no bf16 here"),
        ("Raises", "channels_last", None),
        ("Unsendable", "channels_last", "cannot be sent to another process"),
    ],
)
def test_a_planted_fault_is_found(probes: dict[str, dict[str, Probe]], kind: str, mode: str, fault: str | None) -> None:
    message = probes[kind][mode].fault
    assert (message is None) if fault is None else (message is not None and fault in message)


@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize(
    ("kind", "requested", "mode"),
    [
        ("Right", "bf16+channels_last", "bf16+channels_last"),
        ("WrongInBf16", "bf16+channels_last", "fp32"),
        ("WrongInBf16", "channels_last", "channels_last"),
        ("WrongInBf16ChannelsLast", "bf16+channels_last", "bf16"),
        ("Kills", "bf16+channels_last", "bf16"),
        ("Unsendable", "bf16", "fp32"),
    ],
)
def test_what_fails_falls_back(cache: Path, kind: str, requested: str, mode: str) -> None:
    admission = admit(getattr(planted, kind)(), SHAPE, 2, "cpu", requested, cache)
    assert admission.mode == mode
    tried = FALLBACK[requested]
    assert list(admission.refused) == list(tried[: tried.index(mode) if mode in tried else len(tried)])
    assert all(kind in fault and "(2, 8, 12, 12)" in fault for fault in admission.refused.values())


@pytest.mark.usefixtures("probes")
def test_what_was_found_once_is_not_tried_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    admit(planted.Kills(), SHAPE, 2, "cpu", "bf16+channels_last", cache)


@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize("change", ["shape", "batch", "machine", "hyper-parameter"])
def test_what_differs_is_tried_anew(cache: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    started = []
    layer = planted.Right()
    if change == "machine":
        monkeypatch.setattr(precision, "torch_build", lambda: "another build")
    if change == "hyper-parameter":
        layer.dilation = 2

    def note(layers: list[Layer], runs: list[tuple[int, str]], *_: Any) -> dict[tuple[int, str], Probe]:
        started.extend(runs)
        return {run: Probe("", run[1], "not tried", {}, None) for run in runs}

    monkeypatch.setattr(precision, "_probed", note)
    monkeypatch.setattr(precision, "save", lambda *_: None)
    shape = (8, 12, 13) if change == "shape" else SHAPE
    admit(layer, shape, 3 if change == "batch" else 2, "cpu", "channels_last", cache)
    assert started == [(0, "channels_last")]


def test_a_layer_that_hangs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "LIMIT", 1.0)
    admission = admit(planted.Hangs(), SHAPE, 2, "cpu", "bf16")
    assert admission.mode == "fp32"
    assert "Timeout" in admission.refused["bf16"]


def test_a_probe_that_cannot_start_is_an_error_not_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="did not start"):
        admit(planted.Right(), SHAPE, 2, "cpu", "bf16")


def gradients(model: nn.Module, mode: str, x: torch.Tensor) -> list[torch.Tensor]:
    model = copy.deepcopy(model).to(memory_format=MODES[mode].layout)
    with MODES[mode].autocast("cpu"):
        output = model(x.contiguous(memory_format=MODES[mode].layout))
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
    output.backward(cotangent.to(output.dtype))
    return [p.grad for p in model.parameters() if p.grad is not None]


# On one CPU with torch 2.14 the weight gradients of the dilated ones were wrong in bf16+channels_last, and the last one
# crashed in channels_last. They may be right on another machine: whatever is admitted there must be right.
SUSPECTS = {
    "dense, dilation 2, 24 channels": nn.Conv2d(24, 24, 3, padding=2, dilation=2),
    "dense, dilation 4, 24 channels": nn.Conv2d(24, 24, 3, padding=4, dilation=4),
    "depthwise, dilation 2": nn.Conv2d(32, 32, 3, padding=2, dilation=2, groups=32),
    "1x1, stride 2, 8 channels": nn.Conv2d(8, 16, 1, stride=2),
}


@pytest.fixture(scope="module")
def suspected(cache: Path) -> dict[str, Probe]:
    """All suspects in all modes, found in one go."""
    layers = {n: layers_of(m, (4, m.in_channels, 20, 20), "cpu")[0] for n, m in SUSPECTS.items()}
    precision._probes(list(layers.values()), FALLBACK["auto"], "cpu", cache)
    return {}


@pytest.mark.usefixtures("suspected")
@pytest.mark.parametrize("requested", ["auto", "bf16+channels_last", "channels_last"])
@pytest.mark.parametrize("name", SUSPECTS)
def test_the_admitted_mode_has_right_gradients(cache: Path, name: str, requested: str) -> None:
    layer = SUSPECTS[name]
    mode = admit(layer, (layer.in_channels, 20, 20), 4, "cpu", requested, cache).mode
    x = torch.randn(4, layer.in_channels, 20, 20, generator=torch.Generator().manual_seed(1))
    # bf16 rounds input, weight and result of a convolution by 2^-9 at most: 0.6 % together, far below what is admitted
    for ours, right in zip(gradients(layer, mode, x), gradients(layer, "fp32", x), strict=True):
        assert (ours - right).norm() < TOLERANCE["bf16"] * right.norm(), mode


def test_training_says_which_mode_ran_and_what_was_refused(cache: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), planted.WrongInBf16(), nn.Conv2d(8, 2, 1))
    labels = torch.zeros(4, 12, 12, dtype=torch.uint8)
    examples = SimpleNamespace(images=torch.zeros(4, 3, 12, 12, dtype=torch.uint8), targets={"labels": labels})
    recipe = Recipe(steps=2, batch=2, mode="bf16+channels_last")
    trained = fit(model, Segmentation, examples, recipe, seed=0, cache=cache)
    assert trained.mode == "fp32"
    assert list(trained.refused) == ["bf16+channels_last", "bf16"]
    assert "WrongInBf16() on float32 (2, 8, 12, 12): gradient of weight" in trained.refused["bf16"]


def network() -> nn.Module:
    block = [nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Identity()]
    twin = nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(
        *block, twin, nn.Conv2d(4, 4, 3, padding=1, dilation=1), nn.Conv2d(4, 4, 3, padding=2, dilation=2)
    )


def test_layers_are_counted_once_for_each_configuration() -> None:
    layers = layers_of(network(), (2, 4, 8, 8), "cpu")
    assert [layer.count for layer in layers] == [3, 1, 1, 1]
    assert [layer.name.split("(")[0] for layer in layers] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    assert "on float32 (2, 4, 8, 8)" in layers[0].name


def test_looking_at_a_network_leaves_it_as_it_was() -> None:
    model = network().eval()
    model[1].train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    layers_of(model, (2, 4, 8, 8), "cpu")
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model[:3]] == [False, True, False]
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_frozen_weights_are_sent_as_they_are_and_trainable_ones_are_not() -> None:
    layer = nn.Conv2d(64, 64, 3)
    trainable = layers_of(layer, (1, 64, 8, 8), "cpu")[0]
    frozen = layers_of(layer.requires_grad_(False), (1, 64, 8, 8), "cpu")[0]
    assert len(trainable.pickled) < 10_000 < 64 * 64 * 9 * 4 < len(frozen.pickled)
    assert trainable.key != frozen.key


def test_integer_inputs_keep_their_values() -> None:
    class Unpooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.back = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.back(*self.pool(x))

    layers = layers_of(Unpooled(), (2, 3, 8, 8), "cpu")
    for layer in layers:
        probe_result = probe.tried(layer.pickled, layer.name, MODES["channels_last"], "cpu")
        assert probe_result.fault is None, probe_result


@pytest.mark.parametrize(
    ("errors", "mode", "fault"),
    [
        ({"output 0": 0.09}, "bf16", None),
        ({"output 0": 0.09, "gradient of weight": 0.83}, "bf16", "gradient of weight off by 0.83"),
        ({"output 0": 0.5, "gradient of weight": float("nan")}, "bf16", "gradient of weight off by nan"),
        ({"output 0": 0.019}, "channels_last", "output 0 off by 0.019"),
    ],
)
def test_faults(errors: dict[str, float], mode: str, fault: str | None) -> None:
    message = fault_of(errors, MODES[mode])
    assert (message is None) if fault is None else (message is not None and message.startswith(fault))


@pytest.mark.parametrize(
    ("seconds", "mode"),
    [
        ({"bf16": 0.5, "channels_last": 0.7, "fp32": 1.0}, "bf16"),
        ({"bf16": 1.2, "channels_last": 0.7, "fp32": 1.0}, "channels_last"),
        ({"bf16": 0.85, "fp32": 1.0}, "fp32"),  # a gain that noise can make of nothing
        ({"bf16+channels_last": 0.48, "bf16": 0.5, "channels_last": 0.52, "fp32": 1.0}, "channels_last"),
        ({"bf16+channels_last": 0.52, "bf16": 0.5, "channels_last": 0.6, "fp32": 1.0}, "bf16"),
        ({"bf16+channels_last": 0.3, "bf16": 0.5, "channels_last": 0.6, "fp32": 1.0}, "bf16+channels_last"),
        ({"bf16": 0.5}, "fp32"),  # no fp32 time: a layer did not run even in fp32
        ({}, "fp32"),
    ],
)
def test_auto_takes_the_fastest_mode_that_gains(seconds: dict[str, float], mode: str) -> None:
    assert precision._fastest(seconds) == mode


def test_fp32_needs_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "layers_of", lambda *_: pytest.fail("the network was run"))
    assert admit(network(), (4, 8, 8), 2, "cpu", "fp32") == Admission("fp32")
