"""Ordinary mistakes of the author of a project are one or two lines that name the file and what would work."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.registry.catalogue import forget
from bench.registry.starting import start
from tests.bench.cli.mistakes import MEASURE, MISTAKES, Mistake


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder of a new project, the working one; what commands import and register of it is dropped afterwards."""
    for name in ("FOVBENCH_DATA", "FOVBENCH_STORE", "FOVBENCH_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    start(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{tmp_path}/"):
            forget(name)


def carry_out(command: str) -> int:
    try:
        main(shlex.split(command))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("command", ["plan skip", MEASURE, "data check stripes --shape 3,32,32"])
def test_without_a_mistake_there_is_no_error(project: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert carry_out(command) == 0
    assert "error" not in capsys.readouterr().err


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_explained(project: Path, capsys: pytest.CaptureFixture[str], mistake: Mistake) -> None:
    for name, change in mistake.files.items():
        write(project / name, change)
    status = carry_out(mistake.command)
    printed = capsys.readouterr()
    errors = set(reasons(printed.out)) or {printed.err}
    (text,) = errors
    assert [word for word in mistake.words if word not in text] == []
    assert len(text.splitlines()) <= 2
    assert "Traceback" not in printed.out + printed.err
    assert "(unexpected; --debug" not in text
    assert status == (2 if text == printed.err else 1)


def reasons(output: str) -> list[str]:
    """The errors of the metrics that `bench measure` could not measure."""
    return [line.partition("error: ")[2] for line in output.splitlines() if "error: " in line]


def write(file: Path, change: str | tuple[str, str]) -> None:
    file.parent.mkdir(exist_ok=True)
    if isinstance(change, tuple):
        text = file.read_text()
        assert text.count(change[0]) == 1
        change = text.replace(*change)
    file.write_text(change)
