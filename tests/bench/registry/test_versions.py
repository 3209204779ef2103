"""The version of fovbench is the same installed or not, and no command shows a traceback where it is not."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bench
from bench.registry.versions import __version__, library_version, optional_requirements

ROOT = Path(__file__).parents[3]
UNINSTALLED = """
import importlib.metadata, sys
find = importlib.metadata.Distribution.from_name
def lookup(name):
    if name == "fovbench":
        raise importlib.metadata.PackageNotFoundError(name)
    return find(name)
importlib.metadata.Distribution.from_name = lookup
from bench.cli import main
main(sys.argv[1:])
"""


def uninstalled(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process whose Python finds no distribution `fovbench`."""
    command = [sys.executable, "-c", UNINSTALLED, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_one_version_for_the_package_the_build_and_the_libraries() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "bench.registry.versions.__version__"}
    assert bench.__version__ == __version__ == library_version("fovbench")


def test_a_library_is_found_by_the_name_of_its_import_or_of_its_distribution() -> None:
    assert library_version("skimage") == library_version("scikit-image") == importlib.metadata.version("scikit-image")
    assert library_version("no_such_library") is None


def test_an_uninstalled_package_has_no_list_of_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert optional_requirements() is None


@pytest.mark.parametrize(
    ("arguments", "output"), [(["--version"], __version__), (["list"], "fcn"), (["plan", "smoke"], "due")]
)
def test_a_command_works_where_the_package_is_not_installed(arguments: list[str], output: str, tmp_path: Path) -> None:
    done = uninstalled(*arguments, *(["--store", str(tmp_path / "s.sqlite")] if "plan" in arguments else []))
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert output in done.stdout
