"""Results for other tools: CSV and Parquet of the tidy frame, TensorBoard's event files, runs of W&B and MLflow."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import struct
import sys
import types

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli import bench as command
from bench.report.eventfile import crc32c, events
from bench.report.exports import PACKAGES, ExportError, export
from bench.report.runs import runs
from bench.results.results import Results


def records(content: bytes) -> list[bytes]:
    """The records of a TFRecord file, whose checksums are right."""
    place, found = 0, []
    while place < len(content):
        length, check = struct.unpack_from("<QI", content, place)
        data = content[place + 12 : place + 12 + length]
        (check_of_data,) = struct.unpack_from("<I", content, place + 12 + length)
        for part, masked in ((content[place : place + 8], check), (data, check_of_data)):
            value = masked - 0xA282EAD8 & 0xFFFFFFFF
            assert crc32c(part) == (value >> 17 | value << 15) & 0xFFFFFFFF
        found.append(data)
        place += 16 + length
    return found


def fields(message: bytes) -> list[tuple[int, object]]:
    """(number, value) of the fields of a protocol buffer."""
    place, values = 0, []

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        tag = varint()
        match tag & 7:
            case 0:
                values.append((tag >> 3, varint()))
            case 1 | 5 as kind:
                form, size = ("<d", 8) if kind == 1 else ("<f", 4)
                values.append((tag >> 3, struct.unpack_from(form, message, place)[0]))
                place += size
            case 2:
                size = varint()
                values.append((tag >> 3, message[place : place + size]))
                place += size
    return values


def scalars(content: bytes) -> list[tuple[str, int, float]]:
    """(tag, step, value) of an event file after its first record."""
    found = []
    for record in records(content)[1:]:
        event = dict(fields(record))
        value = dict(fields(dict(fields(event[5]))[1]))
        found.append((value[1].decode(), event[2], value[2]))
    return found


def test_crc32c_is_that_of_rfc_3720():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_an_event_file_holds_every_point_and_begins_with_its_version():
    content = events({"loss": [(1, 0.5), (300, 0.25)]}, {"miou": 0.75, "macs": 1e300}, 1000.5)
    assert fields(records(content)[0]) == [(1, 1000.5), (3, b"brain.Event:2")]
    wanted = [("training/loss", 1, 0.5), ("training/loss", 300, 0.25), ("metrics/miou", 0, 0.75)]
    assert scalars(content) == [*wanted, ("metrics/macs", 0, float("inf"))]


def test_tensorboard_has_a_folder_for_each_variant_and_seed_and_a_second_export_replaces_it(
    synthetic: Results, tmp_path
):
    export(synthetic, "tensorboard", tmp_path)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("events.out.tfevents.*"))
    assert len({path.rsplit("/", 1)[0] for path in files}) == len(files)
    assert len(files) == sum(bool(run.curves or run.numbers) for run in runs(synthetic))
    export(synthetic, "tensorboard", tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("events.*")) == files
    curve = {(v, s): e.curves for (v, s), e in synthetic.evaluations.items() if "step" in e.curves}
    (variant, seed), curves = next(iter(curve.items()))
    place = next(
        run.folder for run in runs(synthetic) if (run.config["variant"], run.config["seed"]) == (variant, seed)
    )
    (file,) = (tmp_path / place).iterdir()
    losses = [value for tag, _, value in scalars(file.read_bytes()) if tag == "training/loss"]
    assert losses == pytest.approx([float(x) for x in curves["loss"]], rel=1e-6)


def test_csv_has_every_sample(synthetic: Results, tmp_path):
    path = export(synthetic, "csv", tmp_path)
    assert path == tmp_path / f"{synthetic.name}.csv"
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    assert frame["value"].tolist() == pytest.approx(synthetic.frame["value"].tolist(), nan_ok=True)
    assert frame["variant"].tolist() == synthetic.frame["variant"].tolist()
    assert [json.loads(text) for text in frame["detail"]] == [d or {} for d in synthetic.frame["detail"]]
    assert frame["error"].notna().sum() == synthetic.frame["error"].notna().sum() > 0


def test_a_text_of_the_csv_is_no_formula(synthetic: Results, tmp_path):
    frame = synthetic.frame.assign(error="=cmd|' /C calc'!A0")
    text = export(dataclasses.replace(synthetic, frame=frame), "csv", tmp_path).read_text()
    assert "'=cmd" in text
    assert ",=cmd" not in text


@pytest.mark.parametrize("form", ["parquet", "wandb", "mlflow"])
def test_a_missing_package_is_named_with_its_extra(synthetic: Results, tmp_path, form, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=rf"needs the package {PACKAGES[form]}: pip install 'fovbench\[{form}\]'"):
        export(synthetic, form, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet_is_the_tidy_frame(synthetic: Results, tmp_path):
    frame = pd.read_parquet(export(synthetic, "parquet", tmp_path))
    assert frame["value"].tolist() == pytest.approx(synthetic.frame["value"].tolist(), nan_ok=True)


def stand_in(monkeypatch, name: str, **members) -> None:
    """A package that is not installed, as far as its documentation says what is called."""
    module = types.ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: module)


def test_wandb_gets_an_offline_run_for_each_variant_and_seed(synthetic: Results, tmp_path, monkeypatch):
    begun, logged, summaries = [], [], []

    class Tracked:
        summary = types.SimpleNamespace(update=summaries.append)
        log = staticmethod(lambda values, step: logged.append((step, values)))
        finish = staticmethod(lambda: None)

    stand_in(monkeypatch, "wandb", init=lambda **options: begun.append(options) or Tracked)
    for name in ("WANDB_MODE", "WANDB_ERROR_REPORTING", "WANDB_SILENT", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "")  # put back after the test
    export(synthetic, "wandb", tmp_path / "out")
    wanted = list(runs(synthetic))
    assert [options["name"] for options in begun] == [run.name for run in wanted]
    assert {options["mode"] for options in begun} == {"offline"}
    assert summaries == [run.numbers for run in wanted]
    assert len(logged) == sum(len({step for points in run.curves.values() for step, _ in points}) for run in wanted) > 0


def test_a_tracker_is_not_written_twice_into_one_folder(synthetic: Results, tmp_path, monkeypatch):
    stand_in(monkeypatch, "wandb")
    (tmp_path / "run").mkdir()
    with pytest.raises(ExportError, match=r"is not empty.*--to"):
        export(synthetic, "wandb", tmp_path)


def test_the_command_needs_a_folder_and_reads_a_fresh_clone(tmp_path):
    without = CliRunner().invoke(command, ["export", "fcn_skips", "--format", "csv"])
    assert without.exit_code == 2
    assert "--to DIR" in without.output
    options = ["--format", "csv", "--to", str(tmp_path), "--store", str(tmp_path / "none.sqlite")]
    done = CliRunner().invoke(command, ["export", "fcn_skips", *options])
    assert done.stdout.strip() == str(tmp_path / "fcn_skips.csv")
    assert len(pd.read_csv(tmp_path / "fcn_skips.csv")) > 100
