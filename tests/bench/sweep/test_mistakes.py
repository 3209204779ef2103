"""Ordinary mistakes of plug-in authors are one or two lines that name the file and what would work."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import errors
from bench.report.figures import FailedPlot, figures
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.plan import plan
from bench.sweep.reading import read_results
from bench.sweep.worker import MeasureJob, TrainJob
from tests.bench.sweep.mistakes import ABLATION, MISTAKES, PLUGIN, Mistake


@pytest.fixture
def attempt(tmp_path: Path, plugins_of_test: None):
    """Plans, measures and draws an ablation with a plug-in of this text, in this process; gives all errors."""

    def attempt(text: str) -> list[str]:
        plugin, file = tmp_path / "plug.py", tmp_path / "a.yaml"
        plugin.write_text(text)
        file.write_text(ABLATION)
        try:
            return carried_out(file, str(plugin), tmp_path / "s.sqlite")
        except Exception as error:
            return [errors.described(error)]

    return attempt


def carried_out(file: Path, plugin: str, path: Path) -> list[str]:
    ablation = load(str(file), (), (plugin,))
    emitted: list = []
    with Store(path) as store:
        requests = plan(ablation, store).requests
        of = {kind: tuple(r for r in requests if r.kind == kind) for kind in ("static", "accuracy")}
        MeasureJob(of["static"], (plugin,))(emitted.append)
        TrainJob(of["accuracy"], ablation.recipe, None, (plugin,))(emitted.append)
        if failed := [m.error for m in emitted if getattr(m, "error", None)]:
            return failed
        drawn = list(figures(read_results(ablation, store), (plugin,)))
    return [each.error for each in drawn if isinstance(each, FailedPlot)]


def test_without_a_mistake_there_is_no_error(attempt) -> None:
    assert attempt(PLUGIN) == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_explained(attempt, mistake: Mistake) -> None:
    assert PLUGIN.count(mistake.old) >= 1
    (text,) = set(attempt(PLUGIN.replace(mistake.old, mistake.new, 1)))
    assert [word for word in mistake.words if word not in text] == []
    assert len(text.splitlines()) <= 2
    assert "Traceback" not in text
    assert "(unexpected; --debug" not in text
