"""Committed expectations with damage: compared, or refused with the file's name."""

from __future__ import annotations

from pathlib import Path

from damage import damaged_bytes
from fuzzing import bounded, ran
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
EXPECTED = b"\n".join((ROOT / "results" / "expected" / "aspp.csv").read_bytes().split(b"\n")[:4])


@bounded
@given(data=st.data())
def test_expectations_with_odd_bytes(empty: Path, data: st.DataObject) -> None:
    folder = empty / "results" / "expected"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "aspp.csv").write_bytes(data.draw(damaged_bytes(EXPECTED)))
    reference = empty / "results" / "reference"
    if not reference.exists():
        reference.symlink_to(ROOT / "results" / "reference")
    ended = ran("gate", ROOT / "ablations" / "aspp.yaml")
    assert ended.status != 2 or "aspp.csv" in ended.err
