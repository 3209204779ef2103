from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bench.data.boundaries
import bench.data.camvid
import bench.data.context
import bench.data.voc
from bench.data.examples import DataNotFound
from bench.data.fashion_mnist import DEBIAN
from bench.data.locate import files_of, locations
from bench.registry import LIVE
from bench.registry.catalogue import declarations


def test_locations_are_the_folders_that_are_searched(tmp_path):
    assert locations(LIVE.datasets.get("camvid"), tmp_path)[0] == tmp_path / "camvid"
    assert tmp_path in locations(LIVE.datasets.get("voc"), tmp_path)
    assert locations(LIVE.datasets.get("camvid"), None) == []
    assert locations(LIVE.datasets.get("context"), tmp_path) == []


@pytest.mark.parametrize("entry", declarations().datasets, ids=lambda entry: entry.name)
def test_every_dataset_says_its_licence_source_and_how_to_get_it(entry):
    assert entry.licence
    assert entry.source
    assert entry.summary
    assert entry.embedded != bool(entry.get)
    assert entry.splits[0] == "train"
    assert entry.task in declarations().tasks


@pytest.mark.parametrize("entry", [e for e in declarations().datasets if not e.embedded], ids=lambda entry: entry.name)
def test_a_missing_dataset_says_where_it_was_looked_for_its_licence_and_how_to_get_it(entry, tmp_path):
    if entry.name == "fashion_mnist" and DEBIAN.is_dir():
        pytest.skip("Debian's package holds it")
    for split in entry.splits:
        with pytest.raises(
            DataNotFound, match=f"(?s)^{entry.name} .*not found, looked for {tmp_path}.*\nlicence: .*To get it: "
        ):
            files_of(entry, tmp_path, split, {})
        without = f"looked for {DEBIAN}/" if entry.name == "fashion_mnist" else "no data folder given"
        with pytest.raises(DataNotFound, match=f"^{entry.name} .*{without}"):
            files_of(entry, None, split, {})


def test_the_modules_import_no_torch_and_no_pillow():
    names = [path.stem for path in Path(bench.data.camvid.__file__).parent.glob("*.py")]
    imports = ", ".join(f"bench.data.{name}" for name in names if name != "__init__")
    code = f"import sys, {imports}; print({{'torch', 'PIL', 'torchvision'}} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
