"""A torch that cannot be imported is a fault of the machine: nothing is stored of what it makes fail."""

from __future__ import annotations

import sys

import pytest

from bench.registry.catalogue import CatalogueError
from bench.spec.ablation import load
from bench.sweep.executors import WorkerError
from bench.sweep.executors.imports import imported
from bench.sweep.libraries import refuse_broken_torch

NEEDING = """
import sys
from bench.registry import architecture, metric

@architecture(task="none", source="-")
def needing():
    "A network that needs torch."
    sys.modules["torch"] = None
    import torch

@metric(unit="", better=None, kind="static")
def one(subject):
    "What the builder gives."
    return subject.build()
"""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.parametrize(
    "error",
    [ImportError("libcudart.so.12"), OSError("undefined symbol"), caused(CatalogueError("x"), ImportError("y"))],
)
def test_an_import_that_fails_where_torch_is_broken_ends_the_run(broken: None, error: Exception) -> None:
    with pytest.raises(WorkerError, match=r"torch cannot be imported \(ModuleNotFoundError: .*\): install it anew"):
        refuse_broken_torch(error)


def test_other_errors_and_other_libraries_are_failures_of_their_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_broken_torch(ImportError("no module of the user's"))
    monkeypatch.setitem(sys.modules, "torch", None)
    refuse_broken_torch(ValueError("no import"))


def test_a_job_stores_nothing_where_torch_is_broken(tmp_path, store, run) -> None:
    """The builder finds a torch that raises, as one whose libraries are missing does."""
    plugin = tmp_path / "needing.py"
    plugin.write_text(NEEDING)
    file = tmp_path / "a.yaml"
    file.write_text("question: q\narchitecture: needing\nmetrics: [one]\nworkload: {shape: [3, 8, 8]}\n")
    with pytest.raises(WorkerError, match="torch cannot be imported"):
        run(load(file, (), (str(plugin),)))
    assert store.records() == []


def test_one_reason_is_reported_once(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("first_broken", "second_broken"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('lib.so')")
    assert list(imported(["first_broken", "second_broken"])) == [
        "first_broken cannot be imported in advance, so each job imports it: ImportError: lib.so"
    ]
