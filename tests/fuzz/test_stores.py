"""Stores with damage: what is read is what was written, or the command says what is wrong with the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import damaged_bytes
from fuzzing import bounded, ran
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
COMMANDS = ("table", "plan", "why", "gate")


@pytest.fixture(scope="session")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store that holds a committed bundle."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    assert ran("import", ROOT / "results" / "reference" / "aspp", "--store", path).status == 0
    return path.read_bytes()


@pytest.mark.parametrize("command", COMMANDS)
@bounded
@given(data=st.data())
def test_a_store_with_odd_bytes(empty: Path, intact: bytes, command: str, data: st.DataObject) -> None:
    path = empty / "damaged.sqlite"
    for each in empty.glob("damaged.sqlite*"):
        each.unlink()
    path.write_bytes(data.draw(damaged_bytes(intact)))
    ended = ran(command, ROOT / "ablations" / "aspp.yaml", "--store", path)
    assert ended.status != 2 or "damaged.sqlite" in ended.err, ended.err


@bounded
@given(data=st.data())
def test_two_stores_one_with_odd_bytes(empty: Path, intact: bytes, data: st.DataObject) -> None:
    (empty / "intact.sqlite").write_bytes(intact)
    (empty / "damaged.sqlite").write_bytes(data.draw(damaged_bytes(intact)))
    ran("compare", empty / "intact.sqlite", empty / "damaged.sqlite")
