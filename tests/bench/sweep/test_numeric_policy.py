"""The numeric policy of a workload is set while its networks are measured and trained, and put back."""

from __future__ import annotations

import os

import torch

from bench.results.keys import requests
from bench.spec.ablation import load
from bench.sweep.process_state import ProcessState
from bench.sweep.worker import MeasureJob, TrainJob

PLUGIN = """
import torch
from bench.registry import architecture, metric

@architecture(task="segmentation", source="a test")
def strict(*, classes: int = 2):
    \"\"\"A network that is built under deterministic algorithms only.\"\"\"
    if not torch.are_deterministic_algorithms_enabled():
        raise RuntimeError("built under the default policy")
    return torch.nn.Conv2d(3, classes, 1)

@metric(unit="", better=None, kind="speed")
def strictness(subject):
    \"\"\"Whether algorithms are deterministic.\"\"\"
    return int(torch.are_deterministic_algorithms_enabled())
"""

TEXT = """question: q?
architecture: strict
metrics: [strictness, miou]
workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 16, 16]}
train: {steps: 1, batch: 2, mode: fp32}
"""


def results(tmp_path, *overrides):
    """Metric -> (value, error), of jobs that run in this process."""
    (tmp_path / "strict_networks.py").write_text(PLUGIN)
    (tmp_path / "asked.yaml").write_text(TEXT)
    plugins = (str(tmp_path / "strict_networks.py"),)
    one = load(tmp_path / "asked.yaml", overrides, plugins)
    speed, score = requests(one, {})
    emitted = []
    MeasureJob((speed,), one.plugins)(emitted.append)
    TrainJob((score,), one.recipe, None, one.plugins)(emitted.append)
    return {m.metric: (m.value, m.error) for m in emitted if hasattr(m, "metric")}


def now():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    reduced = matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction
    flags = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    return (*flags, *reduced, os.environ.get("CUBLAS_WORKSPACE_CONFIG"))


def test_networks_are_measured_and_trained_under_the_policy_of_their_workload(tmp_path):
    before = now()
    default = results(tmp_path)
    assert default["strictness"] == (0, None)
    assert default["miou"] == (None, "failed: RuntimeError: built under the default policy (strict_networks.py:9)")
    strict = results(tmp_path, "workload.deterministic=true")
    assert strict["strictness"] == (1, None)
    assert strict["miou"][1] is None
    assert 0 <= strict["miou"][0] <= 1
    assert now() == before


def test_a_numeric_policy_is_the_state_of_a_job_and_is_put_back_at_its_end():
    def now():
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        reduced = matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction
        flags = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
        return (*flags, *reduced, os.environ.get("CUBLAS_WORKSPACE_CONFIG"))

    before = now()
    numeric = {"tf32": "matmul", "cudnn_benchmark": True, "deterministic": True, "reduced_precision_reduction": False}
    with ProcessState(numeric) as state:
        assert now() == (False, True, True, True, False, False, ":4096:8")
        state.begin(0)
        torch.backends.cudnn.allow_tf32 = True
        assert state.put_back() == ["changed torch.backends.cudnn.allow_tf32"]
        with state.kept():
            assert now() == (False, True, True, True, False, False, ":4096:8")
    assert now() == before
    with ProcessState({"tf32": True}), ProcessState({"tf32": False}):
        assert now()[:2] == (False, False)
    assert now() == before
