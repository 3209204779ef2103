"""Ablation files with damage: planned, or refused with the file's name; nothing is written."""

from __future__ import annotations

from pathlib import Path

import yaml
from damage import damaged_bytes, damaged_lines, damaged_tree
from fuzzing import bounded, contents, ran
from hypothesis import given
from hypothesis import strategies as st

ABLATIONS = Path(__file__).parents[2] / "ablations"
TEXTS = {name: (ABLATIONS / f"{name}.yaml").read_text("utf-8") for name in ("smoke", "unet_skips", "pose_frontier")}


def plan(folder: Path, content: bytes) -> None:
    file = folder / "asked.yaml"
    file.write_bytes(content)
    ended = ran("plan", file, "--store", folder / "none.sqlite")
    assert ended.status == 0 or "asked.yaml" in ended.err, ended.err
    assert set(contents(folder)) == {file}


@bounded
@given(data=st.data(), name=st.sampled_from(sorted(TEXTS)))
def test_a_file_with_odd_values(empty: Path, data: st.DataObject, name: str) -> None:
    tree = data.draw(damaged_tree(yaml.safe_load(TEXTS[name])))
    plan(empty, yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode("utf-8", "replace"))


@bounded
@given(data=st.data(), name=st.sampled_from(sorted(TEXTS)))
def test_a_file_with_odd_lines(empty: Path, data: st.DataObject, name: str) -> None:
    plan(empty, data.draw(damaged_lines(TEXTS[name])).encode("utf-8", "replace"))


@bounded
@given(data=st.data(), name=st.sampled_from(sorted(TEXTS)))
def test_a_file_with_odd_bytes(empty: Path, data: st.DataObject, name: str) -> None:
    plan(empty, data.draw(damaged_bytes(TEXTS[name].encode())))
