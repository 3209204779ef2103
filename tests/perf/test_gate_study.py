"""The study of the gate, without measuring: what is due, the rules of other tools, the table."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def study() -> ModuleType:
    file = Path(__file__).with_name("gate_study.py")
    spec = importlib.util.spec_from_file_location("gate_study", file)
    assert spec
    assert spec.loader
    sys.path.insert(0, str(file.parent))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(file.parent))
    return module


def decision(network: str, effect: int, verdict: str, load: int = 0) -> dict[str, Any]:
    times = {"seconds": 4.0, "elapsed": 20.0, "made": float(effect)}
    case = {"kind": "decision", "network": network, "effect": effect, "load": load, "machine": "this one"}
    return {**case, **times, "verdict": verdict, "rules": {"asv": effect > 0}}


def test_a_run_goes_on_where_the_last_one_ended(study: ModuleType) -> None:
    chosen = argparse.Namespace(decisions=16, effects=[0, 5], load=0)
    whole = list(study.due([], chosen))
    assert sum(effect == 0 for _, effect in whole) == 16
    assert sum(effect == 5 for _, effect in whole) == 4
    made = [decision(*case, "pass") for case in whole[:7]]
    left = list(study.due(made, chosen))
    assert sorted([*whole[:7], *left]) == sorted(whole)
    assert len(list(study.due(made, argparse.Namespace(decisions=16, effects=[0, 5], load=4)))) == len(whole)


def test_a_line_that_a_kill_cut_off_is_removed(study: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "study.jsonl"
    study.append(study.mended(file), {"kind": "calibration"})
    with file.open("a") as stream:
        stream.write('{"kind": "dec')
    study.append(study.mended(file), {"kind": "decision"})
    assert [row["kind"] for row in study.rows_of([file])] == ["calibration", "decision"]


def test_the_rules_are_those_of_the_tools(study: ModuleType) -> None:
    before = [1.0 + 0.001 * number for number in range(40)]
    assert not any(study.rules(before, before).values())
    by_7 = study.rules(before, [1.07 * each for each in before])
    assert by_7 == {
        "pytest-benchmark median:5%": True,
        "pytest-benchmark mean:10%": False,
        "asv": False,
        "Welch test": True,
    }
    assert all(study.rules(before, [1.2 * each for each in before]).values())
    assert not any(study.rules(before, [each / 1.2 for each in before]).values())


def test_the_table_has_a_row_for_each_machine_load_and_effect_with_bounds(study: ModuleType) -> None:
    rows = [decision("conv", 0, "pass")] * 59 + [decision("conv", 5, "regression", 4)] * 3 + [{"kind": "calibration"}]
    lines = study.table(rows).splitlines()
    assert len(lines) == 6
    assert (
        "| this one | 0 | A/A | 59 | 100 % (at least 95 %) | 0 % (at most 5 %) |" in lines[2]
    )  # 0.05 ** (1 / 59) = 0.951
    assert (
        "| this one | 4 | +5.0 % | 3 | 0 % (at most 63 %) | 100 % (at least 37 %) |" in lines[3]
    )  # 0.05 ** (1 / 3) = 0.368
    assert "asv 100 %" in lines[3]
    assert lines[5] == "A/A in all: 59 decisions, false alarms 0 % (at most 5 %). Of the others: asv 0 % (at most 5 %)."


def test_a_study_without_equal_pairs_says_nothing_of_false_alarms(study: ModuleType) -> None:
    lines = study.table([decision("conv", 5, "regression")]).splitlines()
    assert [line[:6] for line in lines] == ["| mach", "| --- ", "| this"]


def test_the_table_of_the_docs_is_made_from_the_committed_decisions(study: ModuleType) -> None:
    root = Path(__file__).parents[2]
    rows = study.rows_of([Path(__file__).with_name("gate_study.jsonl")])
    assert study.table(rows) in (root / "docs" / "gate.md").read_text("utf-8")
