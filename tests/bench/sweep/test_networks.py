"""Networks of libraries and of a file, trained in one table; what the detail says, and what makes them due."""

from __future__ import annotations

import pytest

from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.driver import run
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.plan import plan
from bench.sweep.preloading import preload
from bench.sweep.settings import Options

NET = """
from torch import nn

class Two(nn.Module):
    def __init__(self, classes, names):
        super().__init__()
        self.first, self.other = nn.Conv2d(3, classes, 3, 2, 1), nn.Conv2d(3, classes, 1)
        self.names = names

    def forward(self, x):
        return dict(zip(self.names, (self.first(x), self.other(x))))

def two(*, classes: int = 2, main: str = "out"):
    "Two outputs, the main one of half the size."
    return Two(classes, (main, "aux"))

def fixed(*, wide: bool = False):
    "Seven classes, whatever the dataset has."
    return nn.Conv2d(3, 7, 3, padding=1) if wide else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7))
"""
ABLATION = """
question: q
architecture: net.py:two
vary: {main: [first]}
compare_with:
  - {architecture: "net.py:two", axes: {main: first}, output: first}
  - {architecture: "net.py:fixed"}
  - {architecture: "net.py:fixed", axes: {wide: true}}
  - {architecture: "torchvision:lraspp_mobilenet_v3_large"}
metrics: [params, macs, miou]
main: miou
workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 32, 32], batch: 2}
train: {steps: 1, batch: 2, mode: fp32}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(folder, variant and metric -> measurement) of the whole ablation."""
    folder = tmp_path_factory.mktemp("networks")
    with pytest.MonkeyPatch.context() as patch, Store(folder / "store.sqlite") as store:
        patch.chdir(folder)
        (folder / "net.py").write_text(NET)
        (folder / "a.yaml").write_text(ABLATION)
        planned = plan(load("a.yaml", plugins=["net.py"]), store)
        executor = LocalExecutor(1, preload([planned]))
        try:
            run(planned, store, executor, Options(workers=1, allow_noop="the names of outputs"))
        finally:
            executor.stop()
        rows = [record.measurement for record in store.records(planned.keys)]
    return folder, {(m.variant.name, m.metric): m for m in rows}


def named(done, start, metric="miou"):
    (row,) = [m for (name, of), m in done[1].items() if name == start and of == metric]
    return row


@pytest.mark.parametrize(
    ("name", "output"),
    [
        (
            "net.py:two(classes=2,main=out)",
            "'out' of dict with out (1, 2, 16, 16), aux (1, 2, 32, 32), resized bilinearly to 32 x 32",
        ),
        ("torchvision:lraspp_mobilenet_v3_large(num_classes=2)", "'out' of OrderedDict with out (1, 2, 32, 32)"),
        (
            "net.py:two(classes=2,main=first,output=first)",
            "'first' of dict with first (1, 2, 16, 16), aux (1, 2, 32, 32), resized bilinearly to 32 x 32",
        ),
    ],
)
def test_the_detail_says_which_output_is_scored(done, name, output):
    assert named(done, name).error is None
    assert named(done, name).detail["output"] == output
    assert named(done, name, "params").detail["output"] == output


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("net.py:two(classes=2,main=first)", "state which is scored as output: KEY (there is: first, aux)"),
        ("net.py:fixed", "gave a tensor of shape (2, 7); segmentation needs scores of shape (batch, 2, height, width)"),
        ("net.py:fixed(wide=true)", "scores 7 classes (output (2, 7, 32, 32)), but the dataset has 2 classes"),
    ],
)
def test_what_cannot_be_scored_says_what_the_network_gave_and_what_is_needed(done, name, error):
    assert error in named(done, name).error


def test_a_change_of_the_file_makes_its_networks_due_and_no_others(done, monkeypatch):
    folder = done[0]
    monkeypatch.chdir(folder)
    with Store(folder / "store.sqlite") as store:
        assert not plan(load("a.yaml", plugins=["net.py"]), store).due
    from bench.results import sources

    (folder / "net.py").write_text(NET.replace("nn.Conv2d(3, classes, 1)", "nn.Conv2d(3, classes, 3, 1, 1)"))
    for each in sources.CACHED:
        each.cache_clear()
    with Store(folder / "store.sqlite") as store:
        due = {request.variant.architecture for request in plan(load("a.yaml", plugins=["net.py"]), store).due}
    assert due == {"net.py:two", "net.py:fixed"}


def test_smp_is_trained_too(tmp_path, monkeypatch):
    pytest.importorskip("segmentation_models_pytorch", reason="smp is an optional extra")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(
        "question: q\narchitecture: smp:Unet\n"
        "baseline: {encoder_name: mobilenet_v2, decoder_channels: [8, 8, 8, 8, 8]}\nmetrics: [params, miou]\n"
        "workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 40, 32]}\ntrain: {steps: 1, batch: 2, mode: fp32}\n"
    )
    with Store(tmp_path / "store.sqlite") as store:
        planned = plan(load("a.yaml"), store)
        executor = LocalExecutor(1, preload([planned]))
        try:
            run(planned, store, executor, Options(workers=1))
        finally:
            executor.stop()
        rows = {record.measurement.metric: record.measurement for record in store.records(planned.keys)}
    assert rows["miou"].error is None
    assert rows["miou"].detail["output"] == "a tensor of shape (1, 2, 40, 32)"
