"""The script for a machine with a GPU: its result has the stated form, whatever happens to its parts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from tests.gpu import __main__ as script
from tests.gpu import part
from tests.gpu import training as speed
from tests.gpu.part import attempt, of_processes, row, without


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RowSchema(Strict):
    name: str
    value: float | int | str | None
    unit: str = ""
    reason: str = ""
    requirement: str = ""
    holds: bool | None = None


class PartSchema(Strict):
    status: str
    seconds: float
    reason: str
    rows: list[RowSchema]


class ResultSchema(Strict):
    schema_: int
    device: str
    quick: bool
    parts: dict[str, PartSchema]


def read(path: Path) -> ResultSchema:
    content = json.loads(path.read_text())
    version = content.pop("schema")
    return ResultSchema.model_validate({**content, "schema_": version})


def python(text: str) -> list[str]:
    return [sys.executable, "-S", "-c", text]


ONE = "import json; print(json.dumps({'name': 'a', 'value': 1.5, 'unit': 'ms'}), flush=True);"
BEHAVIOURS = {
    "facts": "print('a library speaks');" + ONE,
    "times": ONE + "raise RuntimeError('CUDA error')",
    "memory": ONE + "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
}


def test_each_part_is_an_entry_and_none_stops_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "command", lambda name, options: python(BEHAVIOURS[name]))
    assert script.main(["--device", "cpu", "--out", str(tmp_path), "--parts", *BEHAVIOURS]) == 1
    result = read(tmp_path / "gpu.json")
    assert {name: (p.status, p.reason, len(p.rows)) for name, p in result.parts.items()} == {
        "facts": ("ok", "", 1),
        "times": ("failed", "RuntimeError: CUDA error", 1),
        "memory": ("failed", "exit status -11", 1),
    }
    assert "times: failed" in capsys.readouterr().out


def test_the_result_is_written_after_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[str]] = []
    write = script.write

    def watched(path: Path, content: Any) -> None:
        write(path, content)
        written.append(list(read(path).parts))

    monkeypatch.setattr(script, "write", watched)
    monkeypatch.setattr(script, "command", lambda name, options: python(ONE))
    assert script.main(["--out", str(tmp_path), "--parts", "facts", "memory"]) == 0
    assert written == [["facts"], ["facts", "memory"]]


def test_a_part_that_does_not_end_is_ended_with_what_it_started_and_keeps_its_rows() -> None:
    part_of = script.run_part(python(ONE + "import signal; signal.pause()"), seconds=1.0)
    assert (part_of["status"], part_of["reason"], len(part_of["rows"])) == ("failed", "no end within 1 s", 1)
    assert script.run_part([], seconds=0.0)["reason"] == "no time left"


def outcome(device: float, elapsed: float) -> dict[str, Any]:
    ours = {"elapsed": elapsed, "launch_ms": 3.0, "device_ms": device, "bound_by": "launches"}
    return {"ours": ours, "graph": 0.8, "timm": 3.0 * elapsed / 3, "torch": 3.0, "triton": {"reason": "no triton"}}


def test_spreads_are_largest_over_smallest_and_a_missing_tool_is_a_reason() -> None:
    rows = {each["name"]: each for each in of_processes("net", iter([outcome(1.0, 3.0), outcome(1.02, 3.3)]))}
    assert rows["net: device, spread"]["value"] == pytest.approx(1.02)
    assert rows["net: device, spread"]["holds"] is False
    assert rows["net: graph, spread"]["holds"] is True
    assert rows["net: Triton's do_bench"] == without("net: Triton's do_bench", "no triton")
    assert rows["net: best spread of the others"]["holds"] is False  # 1.1 against torch's 1
    assert rows["net: bound by"]["value"] == "launches"
    assert rows["net: device over elapsed"]["holds"] is True
    for each in rows.values():
        RowSchema.model_validate(each)


def test_on_a_cpu_device_time_does_not_apply() -> None:
    plain = {"ours": {"elapsed": 3.0}, "graph": {"reason": "needs CUDA"}, "timm": 3.0, "torch": 3.0, "triton": 3.0}
    rows = {each["name"]: each for each in of_processes("net", iter([plain]))}
    assert rows["net: device"]["reason"] == "does not apply on this device"
    assert "net: bound by" not in rows


def test_a_measurement_that_fails_is_a_row_that_does_not_hold() -> None:
    def rows() -> Any:
        yield row("first", 1.0, "ms")
        raise ValueError("no kernel image")

    first, second = attempt("net", rows())
    assert first["value"] == 1.0
    assert (second["reason"], second["holds"]) == ("ValueError: no kernel image", False)
    assert script.failed({"status": "ok", "rows": [second]})


def test_every_part_has_a_limit_and_a_function() -> None:
    assert list(script.PARTS) == list(part.PARTS)
    assert len(part.TWELVE) == 12
    options = argparse.Namespace(device="cuda", quick=True)
    assert script.limit("facts", script.parsed(["--seconds", "570"])) == 2 * script.limit("facts", script.parsed([]))
    assert script.command("facts", options)[1:] == ["-m", "tests.gpu.part", "facts", "--device", "cuda", "--quick"]


def speeds(
    monkeypatch: pytest.MonkeyPatch, device: str, graph: float, used: str = "graph"
) -> dict[str, dict[str, Any]]:
    """The rows of training speed where our former loop takes 24 ms a step, and a graph `graph` seconds."""
    ours = {"eager": 12e-3, "graph": graph, "compile": 10e-3, "compile+graph": 2e-3}

    def our_seconds(device: str, steps: int, side: int, name: str) -> tuple[float, str, dict[str, str]]:
        return ours[name], used if name == "graph" else name, {name: "made-up reason"}

    monkeypatch.setattr(speed, "plain_seconds", lambda *_: 30e-3)
    monkeypatch.setattr(speed, "former_seconds", lambda *_: 24e-3)
    monkeypatch.setattr(speed, "our_seconds", our_seconds)
    rows = {each["name"]: each for each in part.of_training(part.Setting(device, quick=False), 200, 96)}
    for each in rows.values():
        RowSchema.model_validate(each)
    return rows


def test_training_speed_is_the_former_loop_over_each_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = speeds(monkeypatch, "cuda", graph=4e-3)
    assert rows["former loop over ours, eager"]["value"] == pytest.approx(2.0)
    assert "holds" not in rows["former loop over ours, eager"]
    assert (rows["former loop over ours, graph"]["value"], rows["former loop over ours, graph"]["holds"]) == (6.0, True)
    assert rows["former loop over ours, compile+graph"]["value"] == pytest.approx(12.0)
    slow = speeds(monkeypatch, "cuda", graph=8e-3)
    assert slow["former loop over ours, graph"]["holds"] is False


def test_an_execution_that_was_refused_has_no_time_and_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = speeds(monkeypatch, "cuda", graph=4e-3, used="eager")
    refused = rows["a step of our loop, graph"]
    assert (refused["value"], refused["holds"]) == (None, False)
    assert "made-up reason" in refused["reason"]
    assert "former loop over ours, graph" not in rows


def test_on_a_cpu_the_executions_of_a_device_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = speeds(monkeypatch, "cpu", graph=4e-3)
    assert rows["a step of our loop, graph"]["reason"] == "is tried on a GPU"
    assert not any(script.failed({"status": "ok", "rows": [each]}) for each in rows.values())


def test_several_trainings_are_compared_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "steps_per_second", lambda device, steps, side, runs: 100.0 * runs**0.5)
    rows = {each["name"]: each for each in part.of_several("cuda", 600, 96, 4)}
    assert rows["4 at once over one"]["value"] == 2.0
    for each in rows.values():
        RowSchema.model_validate(each)
