"""The numeric policy of a workload: a setting, part of keys where it has an effect, and refused as an axis elsewhere."""

from __future__ import annotations

import pytest

from bench.results import keys
from bench.results.conditions import differences, stated
from bench.results.keys import requests
from bench.spec.ablation import AblationError, load
from bench.spec.numeric import DEFAULTS
from bench.spec.workload import Workload

TEXT = """question: Does it work?
architecture: fcn
baseline: {{width: 0.125, fc_channels: 64}}
{axes}
metrics: [params, latency, miou]
workload: {{dataset: {{name: boundaries, val_count: 32}}, shape: [3, 32, 32]{workload}}}
train: {{steps: 5}}
"""


@pytest.fixture
def ablation(tmp_path, monkeypatch):
    facts = {"device": "a card", "driver": "1", "clock": "unknown"}
    monkeypatch.setattr(keys, "device_facts", lambda device: facts)

    def loaded(axes="", workload=""):
        file = tmp_path / "asked.yaml"
        file.write_text(TEXT.format(axes=axes, workload=workload))
        return load(file)

    return loaded


def key_of(ablation, number=0):
    return {r.metric: r.key for r in requests(ablation, {}) if r.variant == ablation.variants[number]}


@pytest.mark.parametrize(
    ("field", "value", "on_cpu"),
    [
        ("tf32", "true", False),
        ("tf32", "false", False),
        ("tf32", "matmul", False),
        ("cudnn_benchmark", "true", False),
        ("reduced_precision_reduction", "false", False),
        ("deterministic", "true", True),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_part_of_the_policy_is_in_the_keys_where_it_has_an_effect(ablation, field, value, on_cpu, device):
    one = ablation(f"vary: {{workload.{field}: [{value}]}}", workload=f", device: {device}")
    changed = {metric for metric, key in key_of(one).items() if key != key_of(one, 1)[metric]}
    effect = on_cpu or device == "cuda"
    assert changed == ({"latency", "miou"} if effect else set())
    settings = [one.effective_settings(variant) for variant in one.variants]
    assert (settings[0] != settings[1]) == effect
    stated_in_file = ablation(workload=f", device: {device}, {field}: {value}")
    assert key_of(stated_in_file) == key_of(one, 1)


def test_the_defaults_are_those_of_pytorch():
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    assert DEFAULTS["tf32"] == "conv"
    assert (cudnn.allow_tf32, matmul.allow_tf32) == (True, False)
    assert DEFAULTS["cudnn_benchmark"] is cudnn.benchmark
    assert DEFAULTS["deterministic"] is torch.are_deterministic_algorithms_enabled()
    reductions = {matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction}
    assert reductions == {DEFAULTS["reduced_precision_reduction"]}


def test_the_report_of_a_workload_says_the_policy_where_it_counts():
    work = Workload("", "", (), (3, 8, 8), 1)
    assert work.options == {}
    assert Workload("", "", (), (3, 8, 8), 1, deterministic=True, tf32=True).options == {"deterministic": True}
    assert Workload("", "", (), (3, 8, 8), 1, device="cuda:1", tf32=False).options == {**DEFAULTS, "tf32": False}


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        (", tf32: 1", "'workload.tf32'"),
        (", tf32: convolutions", "'workload.tf32'"),
        (", deterministic: yes", "'workload.deterministic': input should be a valid boolean"),
        (", cudnn_benchmrk: true", "did you mean 'cudnn_benchmark'?"),
    ],
)
def test_another_value_is_refused(ablation, workload, expected):
    with pytest.raises(AblationError) as error:
        ablation(workload=workload)
    assert expected in str(error.value)


def test_a_bundle_measured_under_another_policy_or_fraction_is_not_read():
    accuracy = {"dtype": "float32", "dataset": {"name": "boundaries"}}
    plain, other = stated(accuracy), stated({**accuracy, "numeric": {"deterministic": True}})
    assert [*differences(plain, plain)] == []
    assert [*differences(other, plain)] == ["numeric.deterministic: true, not false"]
    part = stated({**accuracy, "dataset": {"name": "boundaries", "fraction": 0.5}})
    assert [*differences(part, plain)] == ["dataset.fraction: 0.5, not 1.0"]
