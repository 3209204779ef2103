"""Results bundles with a damaged or missing file: read, or refused with the name of the folder or the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from damage import damaged_bytes
from fuzzing import bounded, contents, ran
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
NAME = "context_field"
REFERENCE = ROOT / "results" / "reference" / NAME
FILES = sorted(path.relative_to(REFERENCE) for path in REFERENCE.rglob("*") if path.is_file())


@pytest.mark.parametrize("command", ["table", "import", "compare"])
@bounded
@given(data=st.data())
def test_a_bundle_with_a_damaged_file(empty: Path, command: str, data: st.DataObject) -> None:
    folder = empty / "bundle"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(REFERENCE, folder)
    chosen = folder / data.draw(st.sampled_from(FILES))
    damaged = data.draw(st.one_of(st.none(), damaged_bytes(chosen.read_bytes())))
    chosen.unlink() if damaged is None else chosen.write_bytes(damaged)
    before = contents(empty)
    store = empty / "store.sqlite"
    words = {
        "table": ("table", ROOT / "ablations" / f"{NAME}.yaml", "--from", folder),
        "import": ("import", folder, "--store", store),
        "compare": ("compare", REFERENCE, folder),
    }[command]
    ended = ran(*words)
    assert ended.status != 2 or "bundle" in ended.err, ended.err
    assert {path: content for path, content in contents(empty).items() if not path.name.startswith("store.")} == before
    store.unlink(missing_ok=True)
