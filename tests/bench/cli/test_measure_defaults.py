"""`bench measure`: names of numeric types, and the metrics that are measured where none is named."""

from __future__ import annotations

import click
import pytest

from bench.cli.options import Dtype
from bench.registry.catalogue import declarations
from bench.registry.targets import declared
from bench.spec.dtypes import DTYPES
from bench.sweep.adhoc import chosen_metrics

NETWORK = '''
"""A network whose task is not stated."""
from torch import nn

def tiny(*, width: int = 4):
    """Two convolutions."""
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Conv2d(width, 5, 1))
'''


@pytest.mark.parametrize(
    ("text", "dtype"),
    [*((each, name) for name, others in DTYPES.items() for each in (name, *others)),
     ("FP16", "float16"), ("torch.bfloat16", "bfloat16"), ("torch.half", "float16")],
)  # fmt: skip
def test_other_names_of_numeric_types(text, dtype):
    assert Dtype().convert(text, None, None) == dtype


@pytest.mark.parametrize("text", ["fp8", "int8", "", "16", "float"[:3]])
def test_unknown_numeric_types_are_refused_with_those_that_exist(text):
    with pytest.raises(click.BadParameter, match=rf"'{text}' is no numeric type; there are float32 \(fp32, float, sin"):
        Dtype().convert(text, None, None)


def test_a_network_without_a_task_is_not_asked_for_metrics_of_one_task(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    entry = declared(f"{tmp_path / 'net.py'}:tiny", ())
    chosen = {metric.name for metric in chosen_metrics(entry, (), ()).metrics}
    assert {"params", "macs", "latency", "receptive_field"} <= chosen
    assert not chosen & {metric.name for metric in declarations().metrics if metric.tasks}
    assert [metric.name for metric in chosen_metrics(entry, ("blind_spot",), ()).metrics] == ["blind_spot"]


def test_a_family_is_asked_for_those_of_its_task():
    chosen = {metric.name for metric in chosen_metrics(declared("pixelcnn", ()), (), ()).metrics}
    assert {"params", "blind_spot"} <= chosen
    assert "blind_spot" not in {metric.name for metric in chosen_metrics(declared("fcn", ()), (), ()).metrics}
