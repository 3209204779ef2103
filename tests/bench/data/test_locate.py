from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bench.data.boundaries
import bench.data.camvid
import bench.data.context
import bench.data.voc
from bench.data.lists import resolve
from bench.data.locate import locations
from bench.registry import LIVE


def test_locations_are_the_folders_that_are_searched(tmp_path):
    assert locations(LIVE.datasets.get("camvid"), tmp_path)[0] == tmp_path / "camvid"
    assert tmp_path in locations(LIVE.datasets.get("voc"), tmp_path)
    assert locations(LIVE.datasets.get("camvid"), None) == []
    assert locations(LIVE.datasets.get("context"), tmp_path) == []


@pytest.mark.parametrize("written", ["a/b.png", "/far/away/a/b.png", "D:\\x\\a\\b.png"])
def test_listed_paths_are_resolved_by_their_last_two_parts(written):
    assert resolve(Path("data"), written) == Path("data/a/b.png")


@pytest.mark.parametrize("name", ["boundaries", "camvid", "context", "voc"])
def test_every_data_set_says_its_licence_source_and_how_to_get_it(name):
    entry = LIVE.datasets.get(name)
    assert entry.licence
    assert entry.source
    assert entry.summary
    assert entry.embedded != bool(entry.get)
    assert {"train", "val"} <= set(entry.splits)


def test_the_modules_import_no_torch_and_no_pillow():
    names = [path.stem for path in Path(bench.data.camvid.__file__).parent.glob("*.py")]
    imports = ", ".join(f"bench.data.{name}" for name in names if name != "__init__")
    code = f"import sys, {imports}; print({{'torch', 'PIL', 'torchvision'}} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
