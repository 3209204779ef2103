"""Training runs: the files that a dataset reads without declaring them, and code and data that change meanwhile."""

from __future__ import annotations

import textwrap

import pytest

from bench.results.frame import load as load_frame
from bench.spec import ablation as ablations
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.settings import Options

DATA = """
    from pathlib import Path
    import torch
    from bench.data.examples import Examples
    from bench.data.locate import Files
    from bench.registry import dataset

    def folders(root):
        return [root / "points"]

    def files(root, split):
        folder = root / "points"
        return Files(folder, (folder / "declared.txt",), (), ())

    @dataset(task="segmentation", licence="none", source="nobody", requires={"classes": 2})
    def NAME(root, split, shape):
        "Images that are black or not, as two lists say."
        level = int((root / "points" / "declared.txt").read_text()) + int((root / "points" / "more.txt").read_text())
        images = torch.full((4, *shape), level, dtype=torch.uint8)
        names, palette = ("a", "b"), ((0, 0, 0), (9, 9, 9))
        return Examples(images, {"labels": torch.zeros(4, *shape[1:], dtype=torch.uint8)}, names, None, palette)
"""
NET = """
    from pathlib import Path
    import torch
    from bench.registry import architecture

    @architecture(task="segmentation", source="nobody")
    def net(*, classes: int = 2):
        "One layer."
        other = Path("OUTSIDE")
        for changed in other.rglob("*.*"):
            changed.replace(Path(__file__).parent / changed.relative_to(other))
        return torch.nn.Conv2d(3, classes, 1)
"""
SCORE = """
    from bench.registry import metric

    VALUE = 1

    @metric(unit="", better=None, kind="accuracy", tasks=("segmentation",))
    def score(evaluation):
        "A number."
        return VALUE
"""
TEXT = """
question: q
architecture: net
metrics: [score]
workload: {dataset: NAME, shape: [3, 8, 8]}
train: {steps: 1, batch: 2, mode: fp32}
seeds: [0]
"""


@pytest.fixture
def outside(tmp_path_factory):
    """A folder of changed files, which the builder puts in place of the project's."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture
def folder(tmp_path, outside, monkeypatch):
    """A project with plug-ins, and its data folder `data`; its dataset has the folder's name, which is unique."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("data.py", DATA), ("net.py", NET), ("score.py", SCORE), ("q.yaml", TEXT)):
        (tmp_path / name).write_text(
            textwrap.dedent(text).replace("NAME", tmp_path.name).replace("OUTSIDE", str(outside))
        )
    (tmp_path / "data" / "points").mkdir(parents=True)
    (tmp_path / "data" / "points" / "declared.txt").write_text("1")
    (tmp_path / "data" / "points" / "more.txt").write_text("2")
    return tmp_path


@pytest.fixture
def train(folder, store):
    def train(between=lambda: None):
        asked = ablations.load(folder / "q.yaml", (), [str(folder / f"{name}.py") for name in ("data", "net", "score")])
        plan = planning.plan(asked, store, folder / "data")
        between()
        executor = LocalExecutor(1, ["bench.training.loop"])
        try:
            return plan, sweep.run(plan, store, executor, Options(check_noop=False))
        finally:
            executor.stop()

    return train


def statuses(plan):
    return [(planned.status, planned.outdated) for planned in plan.planned]


def test_a_list_that_a_dataset_does_not_declare(folder, train, store):
    _, outcome = train()
    assert (outcome.measured, outcome.failed) == (1, 0)
    (record,) = store.records()
    assert list(record.measurement.files) == ["data:points/more.txt"]
    evaluation = store.evaluation(next(iter(store.evaluated())))
    assert list(evaluation.facts["files"]) == ["data:points/more.txt"]
    (folder / "data" / "points" / "more.txt").write_text("3")
    plan, outcome = train()
    assert statuses(plan) == [("due", ("data:points/more.txt: content changed since",))]
    (record,) = store.records()
    assert record.measurement.detail["seconds"] != evaluation.facts["seconds"], "trained anew, not read off the old one"


CHANGES = {
    "a metric": ("score.py", "VALUE = 1", "VALUE = 9", "score.py"),
    "a dataset's list": ("data/points/declared.txt", "1", "5", "dataset NAME"),
    "an undeclared list": ("data/points/more.txt", "2", "6", "data:points/more.txt"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_during_a_training_run_is_not_kept_under_the_old_key(what, folder, outside, train, store):
    """The builder rewrites the file: after the data was read, before the metric is imported."""
    name, before, after, shown = CHANGES[what]
    path = folder / name
    original = path.read_text()
    (outside / name).parent.mkdir(parents=True, exist_ok=True)
    (outside / name).write_text(original.replace(before, after))
    _, outcome = train()
    assert (outcome.measured, dict(outcome.stale)) == (0, {shown.replace("NAME", folder.name): 1})
    assert load_frame(store.path).empty
    path.write_text(original)
    _, outcome = train()
    assert (outcome.measured, outcome.failed) == (1, 0)
    assert load_frame(store.path)["value"].tolist() == [1]


def test_code_that_changed_before_a_training_run_costs_no_training(folder, train, store):
    net, text = folder / "net.py", (folder / "net.py").read_text()
    built = folder / "built.txt"
    other = text.replace("    other =", f"    Path({str(built)!r}).touch()\n    other =")
    _, outcome = train(lambda: net.write_text(other))
    assert (outcome.measured, outcome.failed, dict(outcome.stale)) == (0, 0, {"net.py": 1})
    assert not built.exists()
    assert not store.evaluated()
    net.write_text(text)
    _, outcome = train()
    assert (outcome.measured, outcome.failed) == (1, 0)
