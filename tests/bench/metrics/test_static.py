"""The static metrics of one small network, by hand."""

from __future__ import annotations

from torch import nn

from bench.hardware.subject import Subject
from bench.metrics.activations import activations
from bench.metrics.flops import flops
from bench.metrics.graph_hash import graph_hash
from bench.metrics.macs import macs
from bench.metrics.op_counts import op_counts
from bench.metrics.output_stride import output_stride
from bench.metrics.params import params
from bench.metrics.receptive_field import measured


def build() -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, 2, 1),
        nn.Upsample(scale_factor=2),
    )
    net[3].bias.requires_grad_(False)
    return net


SUBJECT = Subject(build, (3, 32, 48), batch=2)


def test_params() -> None:
    # 3 * 8 * 9 + 2 * 8 + 8 * 4 * 9 + 4; running mean and variance and a counter
    reading = params(SUBJECT)
    assert reading.value == 216 + 16 + 288 + 4
    assert reading.detail == {"total": 524, "trainable": 520, "buffers": 17, "0": 216, "1": 16, "3": 292}


def test_counts_are_of_one_image() -> None:
    # 8 * 16 * 24 outputs of 27 taps, 4 * 8 * 12 outputs of 72 taps
    reading = macs(SUBJECT)
    assert reading.value == 3072 * 27 + 384 * 72
    assert reading.detail["coverage"] == 1.0
    assert reading.detail["live"] == reading.value
    # two per MAC, 384 biases, two per normalised element, one per rectified one, copies for nothing
    assert flops(SUBJECT).value == 2 * reading.value + 384 + 2 * 3072 + 3072
    assert activations(SUBJECT).value == 3072 + 384


def test_graph() -> None:
    assert op_counts(SUBJECT).value == 5
    reading = graph_hash(SUBJECT)
    assert reading.value == int(reading.detail["hash"][:12], 16)
    assert reading.value < 2**48


def test_geometry() -> None:
    assert output_stride(SUBJECT).value == 2
    assert output_stride(SUBJECT).detail["coarsest"] == 4
    reading = measured(SUBJECT)
    assert reading.value == 7  # 1 + 2 + 2 * 2
    assert reading.detail["extent"] == (7, 7)
    assert not reading.detail["global"]
