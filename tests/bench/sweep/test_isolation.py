"""Metrics of one job measure as if each were alone: who changes what others read fails, and the others' numbers stay."""

from __future__ import annotations

import copy
import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.hardware import timing
from bench.hardware.ceilings import Ceilings
from bench.registry.catalogue import declarations
from bench.results.keys import requests
from bench.results.measurement import Evaluation, Measurement
from bench.spec.ablation import load
from bench.sweep.isolation import ReadOnly, SharedEvaluation, read_only
from bench.sweep.process_state import ProcessState
from bench.sweep.worker import MeasureJob, TrainJob

PLUGIN = str(Path(__file__).parent / "intruding.py")
INNOCENT = ("count", "total", "drawn", "operators", "patient")
GUILTY = {
    "adds_layer": "added module '3', added parameter '3.weight'",
    "removes_layer": "removed module '2'",
    "structure_layer": "added module '3'",
    "writes_weights": "changed the values of parameter '0.weight'",
    "writes_by_numpy": "changed the values of parameter '0.weight'",
    "new_weight": "changed parameter '0.weight'",
    "trains": "changed the network, changed module '0'",
    "batch_statistics": "the values of buffer '1.running_mean'",
    "freezes": "changed parameter '0.weight'",
    "gradients": "changed parameter '0.weight'",
    "changes_stride": "changed module '0'",
    "hooks": "changed module '0'",
    "own_forward": "changed module '0'",
    "writes_input": "changed input 0",
    "writes_tape": "changed the recording's arguments",
    "tape_mapping": "changed the recording's buffers",
    "default_dtype": "left torch's default dtype at torch.float64",
    "default_device": "left torch's default device at meta",
    "grad_mode": "changed torch's grad mode",
    "inference_mode": "changed torch's inference mode",
    "autocast": "changed torch's autocast on cpu",
    "threads": "left torch's number of threads at",
    "deterministic": "left torch's deterministic algorithms at",
    "denormals": "changed flushing of denormals",
    "all_modules": "changed torch's forward hooks",
    "cudnn": "changed torch.backends.cudnn.benchmark",
    "patches_relu": "replaced torch.nn.functional.relu",
    "patches_layer": "replaced torch.nn.BatchNorm2d.forward",
    "numpy_errors": "changed numpy's error handling",
    "environment": "changed os.environ (X_OF_A_METRIC)",
    "folder": "left the working folder at /",
    "path": "changed sys.path",
    "alarm": "changed the signal handlers (SIGALRM)",
}


def measured(write, metrics, axes="", name="victim", plugins=(PLUGIN,), shape="[3, 8, 8]") -> dict[str, Measurement]:
    """The measurements of one job, by metric."""
    text = f"question: q\narchitecture: {name}\nbaseline: {{{axes}}}\nmetrics: [{', '.join(metrics)}]\n"
    ablation = load(write(text + f"workload: {{shape: {shape}}}\n"), (), plugins)
    by_name = {request.metric: request for request in requests(ablation, {})}
    emitted: list[Measurement] = []
    MeasureJob(tuple(by_name[metric] for metric in metrics), tuple(plugins))(emitted.append)
    return {m.metric: m for m in emitted}


def number(m: Measurement):
    return m.samples, dict(m.detail), m.error


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each innocent metric in a job of its own."""

    def write(text):
        path = tmp_path_factory.mktemp("alone") / "a.yaml"
        path.write_text(text)
        return path

    return {name: number(measured(write, [name])[name]) for name in INNOCENT}


@pytest.mark.parametrize("name", GUILTY)
def test_who_changes_what_others_read_fails_and_the_others_measure_as_if_alone(write, alone, name):
    results = measured(write, ["count", name, *INNOCENT[1:]])
    assert results[name].samples == ()
    assert results[name].error.startswith("failed: ")
    assert GUILTY[name] in results[name].error
    assert "; a metric must leave the state as it was (tests/bench/sweep/intruding.py:" in results[name].error
    assert {metric: number(results[metric]) for metric in INNOCENT} == alone


def test_a_metric_fails_for_what_it_changes_also_where_it_is_alone_or_last(write):
    assert "left torch's default dtype" in measured(write, ["default_dtype"])["default_dtype"].error
    assert "added module" in measured(write, ["count", "adds_layer"])["adds_layer"].error
    assert torch.get_default_dtype() is torch.float32


def test_what_a_metric_changes_before_it_raises_is_put_back_and_its_own_error_stays(write, alone):
    results = measured(write, ["raises_midway", *INNOCENT])
    assert results["raises_midway"].error == "failed: ValueError: no number (tests/bench/sweep/intruding.py:298)"
    assert {metric: number(results[metric]) for metric in INNOCENT} == alone


def test_a_metric_that_calls_exit_fails_alone_and_keeps_its_traceback(write, alone):
    results = measured(write, ["leaves", "count"])
    assert results["leaves"].error == "failed: SystemExit (tests/bench/sweep/intruding.py:46)"
    assert "return sys.exit()" in results["leaves"].traceback
    assert number(results["count"]) == alone["count"]


def test_random_numbers_and_warning_filters_do_not_depend_on_other_metrics(write, alone):
    results = measured(write, ["seeds", *INNOCENT])
    assert results["seeds"].samples == (1,)
    assert {metric: number(results[metric]) for metric in INNOCENT} == alone


@pytest.mark.parametrize("source", ["torch", "numpy"])
def test_a_network_that_draws_numbers_is_the_same_whoever_asks_first(write, source):
    axes = f"draws: {source}"
    first = [measured(write, order, axes)["drawn"].samples for order in (["drawn", "count"], ["count", "drawn"])]
    assert first[0] == first[1]
    assert first[0][4] != 1.0


def test_what_a_network_changes_by_itself_is_no_fault_of_a_metric_and_reaches_no_other(write):
    one, two = (measured(write, order, "counting: true") for order in (["total", "count"], ["count", "total"]))
    assert one["total"].error is None
    assert number(one["total"]) == number(two["total"])
    assert "changed" in measured(write, ["writes_weights"], "counting: true")["writes_weights"].error


EVALUATION = {
    "writes_units": "assignment destination is read-only",
    "unlocks_units": "changed the evaluation's units 'confusion'",
    "units_by_torch": "changed the evaluation's units 'boundary'",
    "adds_unit": "what a metric reads is read-only",
    "removes_unit": "what a metric reads is read-only",
    "nested_fact": "what a metric reads is read-only",
    "listed_fact": "does not support item assignment",
    "writes_curve": "read-only",
    "dtype_of_training": "left torch's default dtype at torch.float64",
}


def evaluation() -> Evaluation:
    random = np.random.default_rng(0)
    return Evaluation(
        task="segmentation",
        units={"confusion": random.integers(0, 9, (6, 2, 2)), "boundary": random.integers(0, 9, (6, 2, 2))},
        names=("a", "b"),
        curves={"step": np.arange(3), "loss": np.array([3.0, 2.0, 1.0])},
        facts={"optimum": {"miou@8": 0.9}, "palette": [[0, 0, 0], [1, 1, 1]], "boundary_band_px": 1, "seconds": 1.0},
    )


def read(write, metrics) -> dict[str, Measurement]:
    text = f"question: q\narchitecture: victim\nmetrics: [{', '.join(metrics)}]\nworkload: {{dataset: boundaries}}\n"
    ablation = load(write(text), ("seeds=[0]",), (PLUGIN,))
    by_name = {request.metric: request for request in requests(ablation, {})}
    emitted: list[Measurement] = []
    chosen = tuple(by_name[metric] for metric in metrics)
    TrainJob(chosen, ablation.recipe, None, (PLUGIN,), evaluation())(emitted.append)
    return {m.metric: m for m in emitted}


def test_metrics_that_write_into_an_evaluation_fail_and_the_others_read_what_was_there(write):
    others = ("units_sum", "miou", "boundary_iou")
    alone = {name: read(write, [name])[name] for name in others}
    for name, text in EVALUATION.items():
        results = read(write, [name, *others])
        assert text in results[name].error
        assert {n: number(results[n]) for n in others} == {n: number(alone[n]) for n in others}
        assert all(results[n].contributions == alone[n].contributions for n in others)


def test_a_view_shares_the_memory_of_the_arrays_and_refuses_to_be_written():
    shared = SharedEvaluation(evaluation())
    view = shared.view
    assert np.shares_memory(view.units["confusion"], shared.evaluation.units["confusion"])
    assert isinstance(view.facts["optimum"], ReadOnly)
    assert view.facts == {**evaluation().facts, "palette": ((0, 0, 0), (1, 1, 1))}
    for write in ("update", "setdefault", "pop", "popitem", "clear"):
        with pytest.raises(TypeError, match="copy it first"):
            getattr(view.facts, write)({})
    with pytest.raises(TypeError, match="copy it first"):
        del view.facts["optimum"]
    copied = copy.deepcopy(view.facts)
    copied["optimum"]["miou@8"] = 0.1
    assert type(pickle.loads(pickle.dumps(view.facts))) is dict
    assert read_only({"a": [1, {"b": 2}]}) == {"a": (1, {"b": 2})}


def built_in(task: str) -> list[str]:
    return [m.name for m in declarations(()).metrics if m.kind == "static" and m.fits(task)]


@pytest.mark.parametrize(
    ("name", "axes", "task"),
    [
        ("fcn", "width: 0.05, fc_channels: 16, stride: 8, norm: batch, padding: same", "segmentation"),
        ("vae", "", "generation"),
    ],
)
def test_every_static_metric_of_ours_leaves_the_state_and_gives_the_same_in_any_order(write, name, axes, task):
    if name not in declarations(()).architectures:
        pytest.skip(f"there is no architecture {name}")
    names = built_in(task)
    orders = (names, names[::-1])
    shape = "[3, 64, 64]" if task == "segmentation" else "[1, 28, 28]"
    one, two = (measured(write, order, axes, name, (), shape) for order in orders)
    assert [m.error for m in one.values() if m.error and "must leave" in m.error] == []
    assert {n: number(one[n]) for n in names} == {n: number(two[n]) for n in names}
    assert sum(m.error is None for m in one.values()) > len(names) // 2


SPEEDS = [m.name for m in declarations(()).metrics if m.kind == "speed"]


@pytest.mark.parametrize("name", SPEEDS)
def test_every_speed_metric_of_ours_leaves_the_state(write, name, monkeypatch):
    """Timings move weights to other addresses, which changes no value. One round of each is enough."""
    monkeypatch.setattr(timing, "why_stop", lambda *_: "one round")
    monkeypatch.setattr(
        "bench.metrics.roofline.measured", lambda *_: Ceilings("cpu", "float32", 1, 1e9, ((1 << 20, 1e9),))
    )
    architecture, shape = ("vae", "[1, 28, 28]") if name == "sample_seconds" else ("victim", "[3, 8, 8]")
    result = measured(write, [name], name=architecture, shape=shape)[name]
    assert result.error is None
    assert result.samples or result.detail["does_not_apply"]


def test_the_state_of_a_process_is_compared_piece_by_piece():
    state = ProcessState()
    state.begin(0)
    assert state.put_back() == []
    torch.set_default_dtype(torch.float64)
    assert state.put_back() == ["left torch's default dtype at torch.float64"]
    assert torch.get_default_dtype() is torch.float32
    draws = [[(state.begin(seed), torch.rand(1).item())[1] for seed in (0, 1)] for _ in range(2)]
    assert draws[0] == draws[1]
    assert draws[0][0] != draws[0][1]


def test_the_order_of_three_does_not_matter(write, alone):
    for order in itertools.permutations(("default_dtype", "count", "total")):
        results = measured(write, order)
        assert number(results["count"]) == alone["count"]
        assert number(results["total"]) == alone["total"]


def changed_state(readings: dict[str, Measurement]) -> dict[str, str]:
    """The errors of metrics that changed what others read; a busy machine may make a timing fail for another reason."""
    return {m.metric: m.error for m in readings.values() if m.error and "must leave" in m.error}


SCRIPTED = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


def plain():
    return Net()


def scripted():
    return torch.jit.script(Net())


def traced():
    return torch.jit.trace(Net().eval(), torch.zeros(1, 3, 8, 8))


def part():
    return nn.Sequential(torch.jit.script(Net()))
"""


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", ["scripted", "traced", "part"])
def test_metrics_of_scripted_and_traced_networks_leave_the_state(write, tmp_path, name):
    file = tmp_path / "networks.py"
    file.write_text(SCRIPTED)
    metrics = ["params", "macs", "receptive_field", "output_stride", "latency"]
    network, plain = (measured(write, metrics, name=f"{file}:{each}", plugins=(str(file),)) for each in (name, "plain"))
    assert changed_state(network) == {}
    for metric in ("params", "macs", "receptive_field", "output_stride"):
        assert network[metric].samples == plain[metric].samples
    assert network["macs"].samples == (13_824,)


DYNAMIC = '''
import torch
from torch import nn
from bench.registry import architecture

class Net(nn.Module):
    def __init__(self, fails):
        super().__init__()
        self.conv, self.fails = nn.Conv2d(3, 4, 3), fails

    def forward(self, x):
        y = self.conv(x)
        if y.sum() > 1e9:
            return y
        return torch.cat([y, y.flatten()]) if self.fails else y

@architecture(task="none", source="nobody")
def dynamic(*, fails: bool = False) -> nn.Module:
    """A network whose control flow depends on data."""
    return Net(fails)
'''
ASKED = """
question: Does it run?
architecture: dynamic
vary: {fails: [true]}
metrics: [macs, op_counts]
workload: {shape: [3, 8, 8]}
"""


def test_a_network_that_no_recording_follows_is_run_so_that_a_crash_shows(tmp_path):
    (tmp_path / "plug.py").write_text(DYNAMIC)
    (tmp_path / "asked.yaml").write_text(ASKED)
    ablation = load(tmp_path / "asked.yaml", plugins=[str(tmp_path / "plug.py")])
    emitted: list[Measurement] = []
    MeasureJob(tuple(requests(ablation, {}, ("static",))), ablation.plugins)(emitted.append)
    errors = {(m.variant.values["fails"], m.metric): m.error or "" for m in emitted}
    assert all(error.startswith("failed: StructureError") for (fails, _), error in errors.items() if not fails)
    assert all(error.startswith("failed: RuntimeError: Tensors must have") for (f, _), error in errors.items() if f)
    assert len(errors) == 4
