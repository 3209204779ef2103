"""What `bench init` writes, and what it leaves alone. `tests/test_installed.py` runs it."""

from __future__ import annotations

import pytest

from bench.registry.project import ProjectError
from bench.registry.starting import FILES, STARTER, WORKFLOWS, start
from bench.spec.yamlfile import read


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten_and_nothing_else_is_written(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ProjectError, match=f"{name}: there already; nothing is overwritten"):
        start(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_broken_link_is_not_written_through(tmp_path):
    (tmp_path / "network.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(ProjectError, match="there already"):
        start(tmp_path)


@pytest.mark.parametrize("ci", WORKFLOWS)
def test_a_workflow_is_yaml_that_runs_gate_and_ablation(tmp_path, ci):
    files = start(tmp_path / "new", ci)
    workflow = str(read(files[-1]).data)
    assert "bench gate" in workflow
    assert "bench run skip" in workflow


def test_every_template_is_written_by_some_choice():
    used = {f"{template}.txt" for files in (FILES, *WORKFLOWS.values()) for template in files.values()}
    assert used == {path.name for path in STARTER.iterdir()}
