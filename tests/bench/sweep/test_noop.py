"""Axes that have no effect, and axes that have an effect in one way only."""

import textwrap

import pytest

from bench.analysis.side_effects import side_effects
from bench.results.signature import Signature
from bench.spec import ablation as ablations
from bench.spec.variant import Variant
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.noop import NoEffect, stored_twins
from bench.sweep.settings import Options

NETWORK = '''
from typing import Literal
import torch
from torch import nn
from bench.registry import architecture, metric

class Net(nn.Module):
    def __init__(self, wide, dropout, scale, bias, stored, start):
        super().__init__()
        self.stored = stored
        self.scale = scale
        self.first = nn.Conv2d(3, 8 if wide else 4, 3, padding=1, bias=bias)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Conv2d(8 if wide else 4, 2, 1)
        if start == "zero":
            nn.init.zeros_(self.last.weight)

    def forward(self, x):
        return self.last(self.drop(self.first(x).relu() * self.scale))

class Asking(nn.Module):
    def forward(self, x):
        return x if x.mean() > 0 else -x

@architecture(task="segmentation", source="nobody")
def planted(*, nothing: bool = False, stored: bool = False, wide: bool = False, dropout: float = 0.1,
            scale: float = 1.0, bias: bool = True, start: Literal["zero", "usual"] = "usual", asks: bool = False, dies: bool = False) -> nn.Module:
    """A net with two axes that do nothing."""
    if dies:
        import os, signal
        os.kill(os.getpid(), signal.SIGSEGV)
    return Asking() if asks else Net(wide, dropout, scale, bias, stored, start)

@metric(unit="", better=None, kind="static")
def one(subject):
    """One, whatever the network."""
    return 1
'''

TEXT = """
question: q?
architecture: planted
metrics: [one]
workload: {shape: [3, 16, 16]}
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "planted.py"
    path.write_text(textwrap.dedent(NETWORK))
    return str(path)


@pytest.fixture
def attempt(planted, store, write):
    """Runs the planted ablation with `vary` and gives the summary; raises NoEffect."""

    def attempt(vary, allow=""):
        ablation = ablations.load(write(TEXT + f"vary: {vary}\n"), plugins=[planted])
        executor = LocalExecutor(1, ["torch"])
        try:
            return sweep.run(planning.plan(ablation, store), store, executor, Options(allow_noop=allow))
        finally:
            executor.stop()

    return attempt


@pytest.mark.parametrize("axis", ["nothing", "stored"])
def test_an_axis_that_does_nothing_is_refused_before_anything_is_measured(attempt, store, axis):
    with pytest.raises(NoEffect, match=rf"axis '{axis}' had no effect: .* with {axis}=false or true"):
        attempt(f"{{{axis}: [true]}}")
    assert store.records() == []


@pytest.mark.parametrize(
    "vary",
    ["{wide: [true]}", "{dropout: [0.5]}", "{scale: [2.0]}", "{bias: [false]}", "{start: [zero]}"],
)
def test_an_axis_that_moves_one_thing_only_is_not_refused(attempt, vary):
    assert attempt(vary).measured == 2


def test_equal_variants_that_are_both_not_the_baseline_are_refused_too(attempt, planted, store, write):
    text = TEXT + "baseline: {wide: true}\ngrid: {wide: [false], nothing: [false, true]}\n"
    ablation = ablations.load(write(text), plugins=[planted])
    executor = LocalExecutor(1, ["torch"])
    try:
        with pytest.raises(NoEffect, match="axis 'nothing' had no effect"):
            sweep.run(planning.plan(ablation, store), store, executor)
    finally:
        executor.stop()


def test_a_network_that_dies_does_not_hide_other_equal_variants(planted, store, write):
    text = TEXT + "baseline: {asks: false}\nvary: {nothing: [true], dies: [true]}\n"
    ablation = ablations.load(write(text), plugins=[planted])
    executor = LocalExecutor(1, ["torch"])
    try:
        with pytest.raises(NoEffect, match="axis 'nothing' had no effect"):
            sweep.run(planning.plan(ablation, store), store, executor)
    finally:
        executor.stop()
    assert len(store._read("SELECT key FROM signature")) == 2, "the signature of a process that died was stored"


def test_the_plan_names_equal_variants_of_an_earlier_run(attempt, planted, store, write):
    ablation = ablations.load(write(TEXT + "vary: {nothing: [true]}\n"), plugins=[planted])
    plan = planning.plan(ablation, store)
    assert stored_twins(plan, store) == ""
    with pytest.raises(NoEffect):
        attempt("{nothing: [true]}")
    assert "axis 'nothing' had no effect" in stored_twins(plan, store)


def test_it_can_be_allowed_with_a_reason_that_is_stored(attempt, store):
    assert attempt("{nothing: [true]}", allow="a control").measured == 2
    assert [store.note(name) for name in ("ablation0",)] == [
        "variants that are the same network were allowed: a control"
    ]


def test_a_network_that_cannot_be_recorded_is_stored_as_unchecked(attempt, store):
    assert attempt("{asks: [true]}").measured == 2
    rows = [row for row in store._read("SELECT facts FROM signature") if 'graph":""' in row[0]]
    assert len(rows) == 1
    assert '"error":null' not in rows[0][0]


def test_side_effects_are_relative_to_the_baseline():
    base, other, odd = (Variant("net", (("a", n),), ("a",)) for n in range(3))
    lines = side_effects(
        {
            base: Signature("0", "g", params=100, macs=1000.0, field=7),
            other: Signature("1", "h", params=150, macs=900.0, field=None),
            odd: Signature("2", error="asks for data"),
        },
        base.name,
    )
    first, second, third = lines
    assert (first.params_change, first.macs_change) == (0.0, 0.0)
    assert second.params_change == pytest.approx(0.5)
    assert second.macs_change == pytest.approx(-0.1)
    assert second.receptive_field is None
    assert third.note == "not checked: asks for data"
    assert third.params_change is None
