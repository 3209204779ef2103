"""An ablation over a folder of one's own images: planned, run, and due again where an image changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli import main

NETWORK = '''
"""A network of a project."""
from typing import Literal
from torch import nn
from bench import architecture

@architecture(task="segmentation", source="a test")
def tiny(*, kernel: Literal[1, 3] = 1, classes: int = 2) -> nn.Module:
    """One convolution."""
    return nn.Conv2d(3, classes, kernel, padding=kernel // 2)

@architecture(task="segmentation", source="a test")
def fixed(*, kernel: Literal[1, 3] = 1) -> nn.Module:
    """One convolution to 21 classes."""
    return nn.Conv2d(3, 21, kernel, padding=kernel // 2)
'''
ABLATION = """
question: Does a larger kernel help on my own images?
source: a test
architecture: {architecture}
baseline: {{kernel: 1}}
vary: {{kernel: [3]}}
metrics: [params, miou]
main: miou
workload: {{dataset: {{name: folder, path: mine, classes: 3, val_fraction: 0.4}}, shape: [3, 16, 16], batch: 2}}
train: {{steps: 2, batch: 2, mode: fp32}}
seeds: 2
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A project with a network and a folder of five images of three classes; a process loads a plug-in only once."""
    rng, tmp_path = np.random.default_rng(0), tmp_path_factory.mktemp("project")
    for part in ("images", "masks"):
        (tmp_path / "mine" / part).mkdir(parents=True)
    for k in range(5):
        labels = np.kron(rng.integers(0, 3, (4, 4)), np.ones((4, 4))).astype(np.uint8)
        Image.fromarray(np.stack([labels * 80] * 3, -1)).save(tmp_path / "mine" / "images" / f"{k}.png")
        Image.fromarray(labels).save(tmp_path / "mine" / "masks" / f"{k}.png")
    (tmp_path / "network.py").write_text(NETWORK)
    for architecture in ("tiny", "fixed"):
        (tmp_path / f"{architecture}.yaml").write_text(ABLATION.format(architecture=architecture))
    return tmp_path


@pytest.fixture
def project(written, monkeypatch):
    monkeypatch.chdir(written)
    monkeypatch.delenv("FOVBENCH_DATA", raising=False)
    return written


def printed(capsys, *arguments: str) -> tuple[str, str, int]:
    code = 0
    try:
        main([*arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    return *capsys.readouterr(), code


def planned(capsys, project: Path, name: str = "tiny") -> str:
    out, _, code = printed(capsys, "plan", f"{name}.yaml", "--plugin", str(project / "network.py"))
    assert code == 0
    return out


def test_a_folder_is_planned_run_and_due_again_after_an_edit(project: Path, capsys):
    assert "6 due, 0 cached, 4 trainings" in planned(capsys, project)
    assert printed(capsys, "run", "tiny.yaml", "--plugin", str(project / "network.py"))[2] == 0
    assert "0 due, 6 cached" in planned(capsys, project)
    table, _, _ = printed(capsys, "table", "tiny.yaml", "--plugin", str(project / "network.py"))
    assert "mIoU" in table
    image = project / "mine" / "images" / "2.png"
    before = image.read_bytes()
    Image.new("RGB", (16, 16), (9, 9, 9)).save(image)
    assert "4 due, 2 cached, 4 trainings" in planned(capsys, project)
    image.write_bytes(before)
    assert "0 due, 6 cached" in planned(capsys, project)
    (project / "mine").rename(project / "moved")
    assert printed(capsys, "table", "tiny.yaml", "--plugin", str(project / "network.py"))[0] == table
    _, err, code = printed(capsys, "run", "tiny.yaml", "--plugin", str(project / "network.py"))
    assert code != 0
    assert f"folder (train; no folder 'mine' in {project}): not found" in err
    (project / "moved").rename(project / "mine")


def test_a_network_of_other_classes_is_told_both_numbers(project: Path, capsys):
    _, err, code = printed(
        capsys, "run", "fixed.yaml", "--plugin", str(project / "network.py"), "--seeds", "1", "--only", "miou"
    )
    assert code != 0
    assert "scores 21 classes (output (2, 21, 16, 16)), but the dataset has 3 classes" in err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("classes=2",), "holds 2, which is neither a class nor void"),
        (("classes=3", "val_fractoin=0.4"), "'folder' has no axis 'val_fractoin', did you mean 'val_fraction'?"),
        (("classes",), "'classes': write an axis as name=value"),
    ],
)
def test_data_check_takes_options_and_names_the_mistake(options, text, project: Path, capsys):
    out, err, code = printed(capsys, "data", "check", "folder", "path=mine", "val_fraction=0.4", *options)
    assert (code, err.count("\n")) == (2, 1)
    assert text in err


def test_data_check_counts_the_examples_of_both_splits(project: Path, capsys):
    arguments = ("folder", "path=mine", "classes=3", "val_fraction=0.4", "--shape", "3,16,16")
    assert printed(capsys, "data", "check", *arguments) == ("train: 3 examples\nval: 2 examples\n", "", 0)
