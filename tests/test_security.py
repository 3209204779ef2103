"""What SECURITY.md promises: each line names a test that exists. And the promises that no other test shows."""

from __future__ import annotations

import ast
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from architectures.layers.pretrained import timm_encoder
from bench.spec.weights import Weights
from bench.training.weights import WeightsError, load_weights

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| (?P<promise>.+?) \| `(?P<file>[\w/]+\.py)::(?P<test>\w+)` \|$", re.MULTILINE)
ROWS = [match.groupdict() for match in ROW.finditer((ROOT / "SECURITY.md").read_text("utf-8"))]


def test_every_row_of_the_page_is_read() -> None:
    lines = (ROOT / "SECURITY.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| promise", "| ---"))]
    assert len(rows) == len(ROWS) > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["test"])
def test_a_promise_names_a_test_that_exists(row: dict[str, str]) -> None:
    tree = ast.parse((ROOT / row["file"]).read_text("utf-8"))
    assert row["test"] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


class Intruder:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_that_holds_code_does_not_run_it(tmp_path: Path) -> None:
    torch.save({"state_dict": Intruder(tmp_path / "intruded")}, tmp_path / "weights.pt")
    with pytest.raises(pickle.UnpicklingError):
        timm_encoder("resnet18", f"file:{tmp_path / 'weights.pt'}")
    assert not (tmp_path / "intruded").exists()


def test_a_pickle_that_an_ablation_names_as_weights_is_refused_and_does_not_run(tmp_path: Path) -> None:
    """With one line that says how to convert it; so is an object beside tensors, and one of any suffix."""
    for name, content in (
        ("all.pt", Intruder(tmp_path / "intruded")),
        ("part.pth", {"state_dict": {"weight": torch.ones(1)}, "epoch": Intruder(tmp_path / "intruded")}),
        ("inner.ckpt", {"state_dict": {"weight": Intruder(tmp_path / "intruded")}}),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(
            WeightsError, match=r"run code, so it is refused.*save its tensors alone: torch\.save"
        ) as error:
            load_weights(torch.nn.Linear(1, 1), tmp_path / name, Weights(name), "net")
        assert len(str(error.value).splitlines()) == 1
        assert not (tmp_path / "intruded").exists()


WATCH = """
import sys
def note(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(arguments[1], tuple)):
        with open({path!r}, "a") as file:
            file.write(f"{{event}} {{arguments[1:]}}\\n")
sys.addaudithook(note)
"""
ABLATION = """
question: Does a finer output stride help?
architecture: fcn
baseline: {stride: 32, width: 0.0625, fc_channels: 8, norm: batch, padding: same, dropout: 0.0}
vary: {stride: [16]}
metrics: [params, miou]
workload: {dataset: {name: boundaries, train_count: 8, val_count: 4}, shape: [3, 32, 32]}
train: {steps: 2, batch: 4, mode: fp32}
seeds: 1
"""


def test_a_run_connects_to_nothing(tmp_path: Path) -> None:
    """Every Python process of the run loads the module `sitecustomize`, which notes each connection by address."""
    notes = tmp_path / "connections"
    (tmp_path / "sitecustomize.py").write_text(WATCH.format(path=str(notes)))
    (tmp_path / "asked.yaml").write_text(ABLATION)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    connect = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    subprocess.run([sys.executable, "-c", connect], env=variables, check=True)
    assert "127.0.0.1" in notes.read_text(), "the watch must see a connection, or the test proves nothing"
    notes.unlink()
    command = [sys.executable, "-m", "bench.cli", "run", "asked.yaml"]
    subprocess.run(command, env=variables, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "results" / "store.sqlite").is_file()
    assert not notes.exists(), notes.read_text()
