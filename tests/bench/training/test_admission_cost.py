"""What admitting a precision mode may cost: made-up processors, and a made-up clock for the seconds of a step."""

from __future__ import annotations

import copy
import json
import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from bench.hardware.stopwatch import Lap
from bench.spec.recipe import Recipe
from bench.tasks.segmentation import Segmentation
from bench.training import precision, probe
from bench.training.budget import FRACTION, START, Served, expected, why_not_repaid
from bench.training.loop import fit
from bench.training.modes import MODES
from bench.training.precision import FALLBACK, Layer, admit
from bench.training.probe import Probe
from bench.training.processor import _cpu_refusal, _cuda_refusal, why_not

PLAIN = {"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}
ABLE = PLAIN | {"avx512_bf16": True}
SHAPE = (3, 8, 8)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 3))


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """No layer is run: in each probe all layers are right, and bf16 halves the time. Gives the runs that were asked."""
    asked: list[tuple[str, str]] = []

    def every(layers: Sequence[Layer], runs: Sequence[tuple[int, str]], *_: Any) -> dict[tuple[int, str], Probe]:
        asked.extend((layers[index].name.partition("(")[0], mode) for index, mode in runs)
        seconds = {"bf16": 0.4, "bf16+channels_last": 0.4, "channels_last": 0.9, "fp32": 1.0}
        return {(index, mode): Probe("", mode, None, {}, seconds[mode]) for index, mode in runs}

    monkeypatch.setattr(precision, "_probed", every)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: ABLE)
    return asked


def step_takes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A clock on which a forward pass takes a third of these seconds."""
    monkeypatch.setattr(precision.stopwatch, "lap", lambda call, device: Lap(99.0, seconds / 3))


@pytest.mark.parametrize(
    ("capabilities", "refused"),
    [
        (PLAIN, True),
        (ABLE, False),
        (PLAIN | {"amx_bf16": True}, False),
        ({"architecture": "arm64", "arm_bf16": True}, False),
        ({"architecture": "arm64", "arm_bf16": False}, True),
        ({"architecture": "riscv64"}, False),  # torch does not say: nothing is refused
    ],
)
def test_a_processor_without_instructions_for_a_mode_is_told_by_its_capabilities(
    capabilities: dict[str, Any], refused: bool
) -> None:
    assert (_cpu_refusal(capabilities) is not None) is refused


def test_a_gpu_has_bf16_instructions_from_capability_8_on() -> None:
    assert _cuda_refusal((8, 0)) is None
    assert _cuda_refusal((9, 0)) is None
    assert _cuda_refusal((7, 5)) == "not tried: the device has no bf16 instructions (compute capability 7.5)"


@pytest.mark.parametrize("mode", ["fp32", "channels_last"])
def test_modes_in_fp32_need_no_instructions(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: PLAIN)
    assert why_not(MODES[mode], "cpu") is None


REASON = "not tried: the processor has no bf16 instructions (amx_bf16, avx512_bf16)"


@pytest.mark.parametrize(
    ("requested", "tried"), [("auto", {"channels_last", "fp32"}), ("bf16", set()), ("bf16+channels_last", set())]
)
def test_modes_without_instructions_are_skipped_at_once_and_say_why(
    monkeypatch: pytest.MonkeyPatch, probed: list[tuple[str, str]], requested: str, tried: set[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: PLAIN)
    admission = admit(network(), SHAPE, 2, "cpu", requested)
    assert admission.mode == "fp32"
    assert {mode for _, mode in probed} == tried
    skipped = [mode for mode in FALLBACK[requested] if "bf16" in mode]
    assert admission.refused == dict.fromkeys(skipped, REASON)


def test_the_cost_is_bounded_by_a_twentieth_of_the_trainings() -> None:
    assert FRACTION == 0.05
    for step in (0.001, 0.01, 0.1, 1.0, 10.0):
        for served in (Served(10), Served(100), Served(1000), Served(1000, 5), Served(100_000)):
            tried = why_not_repaid(served, step, 4) is None
            assert tried == (expected(step, 4) <= 0.05 * step * served.steps * served.runs)
    assert why_not_repaid(None, 1.0, 4) is None
    # at 0.1 s a step and 4 modes: START + 5 x 4 x 0.1 s, repaid by as many steps at 5 ms each
    enough = math.ceil((START + 2.0) / 0.005)
    assert why_not_repaid(Served(enough + 1), 0.1, 4) is None
    assert why_not_repaid(Served(enough - 1), 0.1, 4) is not None
    assert why_not_repaid(Served(enough // 3 + 1, 3), 0.1, 4) is None


def test_a_short_training_runs_in_fp32_and_says_that_nothing_was_tried(
    monkeypatch: pytest.MonkeyPatch, probed: list[tuple[str, str]]
) -> None:
    step_takes(monkeypatch, 0.1)
    short = admit(network(), SHAPE, 2, "cpu", "auto", served=Served(100))
    assert probed == []
    assert short.mode == "fp32"
    reason = "not tried: a training of 100 steps is too short to repay it (at most 5% may be spent on trying)"
    assert short.refused == dict.fromkeys(["bf16+channels_last", "bf16", "channels_last"], reason)
    assert admit(network(), SHAPE, 2, "cpu", "auto", served=Served(100, 20)).mode == "bf16"
    assert admit(network(), SHAPE, 2, "cpu", "auto", served=Served(10_000)).mode == "bf16"
    assert probed


def test_a_training_that_auto_leaves_in_fp32_is_bit_for_bit_that_of_fp32() -> None:
    """With dropout, which draws from torch's generator, and batch norm, whose statistics the looking must not move."""
    layers = [nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1)]
    images = torch.arange(4 * 3 * 12 * 12).reshape(4, 3, 12, 12).to(torch.uint8)
    labels = torch.zeros(4, 12, 12, dtype=torch.uint8)
    examples: Any = SimpleNamespace(images=images, targets={"labels": labels})
    states = {}
    for mode in ("fp32", "auto"):
        recipe = Recipe(steps=3, batch=2, mode=mode)  # type: ignore[arg-type]
        trained = fit(copy.deepcopy(nn.Sequential(*layers)), Segmentation, examples, recipe, seed=0)
        assert trained.mode == "fp32"
        states[mode] = trained.model.state_dict()
    assert all(torch.equal(value, states["auto"][name]) for name, value in states["fp32"].items())


def test_a_named_mode_is_tried_whatever_it_costs(
    monkeypatch: pytest.MonkeyPatch, probed: list[tuple[str, str]]
) -> None:
    step_takes(monkeypatch, 0.1)
    assert admit(network(), SHAPE, 2, "cpu", "bf16", served=Served(1)).mode == "bf16"
    assert {mode for _, mode in probed} == {"bf16"}


def test_a_decision_is_made_once_for_all_seeds_and_stays_when_a_run_is_resumed(
    monkeypatch: pytest.MonkeyPatch, probed: list[tuple[str, str]], tmp_path: Path
) -> None:
    """The clock changes under it: a loaded machine, or probes that would now be faster, decide nothing anew."""
    step_takes(monkeypatch, 0.1)
    first = admit(network(), SHAPE, 2, "cpu", "auto", tmp_path, Served(2000))
    asked = len(probed)
    step_takes(monkeypatch, 0.0001)
    for served in (Served(2000), Served(2000, 5)):
        assert admit(network(), SHAPE, 2, "cpu", "auto", tmp_path, served) == first
    assert (first.mode, len(probed)) == ("bf16", asked)
    other = admit(network(), SHAPE, 2, "cpu", "auto", tmp_path, Served(50))
    assert other.mode == "fp32", "a training of other length is decided on its own"


def test_processes_that_ask_at_once_get_one_decision(
    monkeypatch: pytest.MonkeyPatch, probed: list[tuple[str, str]], tmp_path: Path
) -> None:
    admissions: list[precision.Admission] = []
    monkeypatch.setattr(precision, "file_digest_of", lambda file: "")
    layers = precision.layers_of(network(), (2, *SHAPE), "cpu")

    def ask() -> None:
        choice = precision._Choice(network(), (2, *SHAPE), layers, FALLBACK["auto"], "cpu", tmp_path, None)
        admissions.append(choice.decided())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admissions) == 4
    assert len(set(map(str, admissions))) == 1
    assert len(probed) == 3 * 4, "a layer was probed twice in a mode"


def test_the_most_costly_layers_are_probed_first(
    monkeypatch: pytest.MonkeyPatch, probed: list[tuple[str, str]]
) -> None:
    layers_of = precision.layers_of
    seconds = {"Conv2d": 2.0, "ReLU": 5.0}

    def costly(*arguments: Any) -> list[Layer]:
        return [replace(layer, seconds=seconds[layer.name.partition("(")[0]]) for layer in layers_of(*arguments)]

    monkeypatch.setattr(precision, "layers_of", costly)
    admit(network(), SHAPE, 2, "cpu", "auto")
    assert [name for name, mode in probed if mode == "fp32"] == ["ReLU", "Conv2d", "Conv2d"]


def test_a_layer_is_timed_where_it_runs() -> None:
    layers = precision.layers_of(network(), (2, *SHAPE), "cpu")
    assert all(layer.seconds >= 0 for layer in layers)
    assert sum(layer.seconds for layer in layers) > 0


@pytest.mark.parametrize(
    ("stop", "budget", "runs"),
    [
        (False, math.inf, [(0, "bf16"), (0, "fp32"), (1, "bf16"), (1, "fp32")]),
        (True, math.inf, [(0, "bf16"), (0, "fp32"), (1, "fp32")]),  # bf16 is wrong in the first layer
        (True, 2.5, [(0, "bf16"), (0, "fp32")]),
        (True, 0.5, [(0, "bf16")]),
        (True, -1.0, []),
    ],
)
def test_the_probe_ends_with_its_budget_and_leaves_a_mode_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stop: bool, budget: float, runs: list[tuple[int, str]]
) -> None:
    clock = iter([float(number) for number in range(100)])

    def tried(layer: bytes, name: str, mode: Any, device: str) -> Probe:
        next(clock)  # each run takes a second more than the question whether there is time for it
        return Probe(name, mode.name, "wrong" if mode.bf16 else None, {}, 1.0)

    monkeypatch.setattr(probe, "tried", tried)
    monkeypatch.setattr(probe.time, "process_time", lambda: next(clock))
    todo = probe.ProbeRequest(
        (b"", b""), ((0, "bf16"), (0, "fp32"), (1, "bf16"), (1, "fp32")), "cpu", 1, {}, 60.0, budget, stop
    )
    (tmp_path / "request").write_bytes(probe.pickle.dumps(todo))
    probe.main(tmp_path / "request", tmp_path / "results")
    lines = [json.loads(line) for line in (tmp_path / "results").read_text().splitlines()]
    assert [tuple(line["begin"]) for line in lines if "begin" in line] == runs


def test_what_was_not_tried_on_all_layers_is_not_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: ABLE)

    def some(layers: Sequence[Layer], runs: Sequence[tuple[int, str]], *_: Any) -> dict[tuple[int, str], Probe]:
        return {run: Probe("", run[1], None, {}, 0.1 if "bf16" in run[1] else 1.0) for run in runs[:5]}

    monkeypatch.setattr(precision, "_probed", some)
    step_takes(monkeypatch, 0.1)
    admission = admit(network(), SHAPE, 2, "cpu", "auto", served=Served(10_000))
    assert admission.mode == "fp32"
    why = "not tried on all layers: that would cost more than 5% of the trainings"
    assert admission.refused == dict.fromkeys(["bf16+channels_last", "bf16", "channels_last"], why)
