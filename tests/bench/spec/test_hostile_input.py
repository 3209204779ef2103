"""Input that hides something: refused in one or two lines, before anything is made of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bench.registry import RegistryError
from bench.registry.axes import Axis
from bench.registry.entries import Registries
from bench.spec.ablation import AblationError, load
from bench.spec.yamlfile import FileError, read

GOOD = "question: q\narchitecture: fcn\nbaseline: {stride: 32, skips: false}\nmetrics: [params]\n"


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises((AblationError, FileError)) as caught:
        load(path, overrides)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


@pytest.fixture
def written(tmp_path):
    def write(more: str = "", name: str = "f.yaml", before: str = "") -> Path:
        (tmp_path / name).write_text(before + GOOD + more)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "workload: {shape: [3, 64], dataset: boundaries}",
            "is channels, height, width where there is a dataset, not [3,64]",
        ),
        ("workload: {shape: [3, 99999999, 99999999]}", "has more than 2,147,483,648 values"),
        ("workload: {batch: 99999999999999999999}", "less than or equal to 1000000000, not 99999999999999999999"),
        ("workload: {threads: 100000}", "less than or equal to 1024, not 100000"),
        ("workload: {device: 'cuda:9999'}", "'workload.device'"),
        ("train: {steps: 99999999999999999999}", "less than or equal to 1000000000"),
        ("train: {steps: '5'}", "valid integer, not '5' (str)"),
        ("train: {steps: 1e3}", "valid integer, not 1000.0 (float)"),
        ("train: {augment: 'true'}", "valid boolean, not 'true' (str)"),
        ("train: {augment: 1}", "valid boolean, not 1 (int)"),
        ("timeout: '60'", "valid number, not '60' (str)"),
        (
            "seeds: '3'",
            "'seeds': input should be a valid integer or a valid list or a mapping with min, max, until, looks, not '3' (str)",
        ),
        (
            "seeds: true",
            "'seeds': input should be a valid integer or a valid list or a mapping with min, max, until, looks, not true (bool)",
        ),
        ("seeds: [1.0]", "'seeds.0': input should be a valid integer, not 1.0 (float)"),
        ("seeds: ['1', true]", "'seeds.0': input should be a valid integer, not '1' (str)"),
        (
            "workload: {dataset: 5}",
            "'workload.dataset': input should be a valid string or a valid dictionary, not 5 (int)",
        ),
    ],
)
def test_a_wrong_value_is_said_with_the_type_that_was_given(written, more, message):
    assert message in refusal(written(more))


@pytest.mark.parametrize(
    ("before", "more", "message"),
    [
        ("", "train: {<<: {steps: 2}}", "f.yaml:5:9: merge keys (<<) are not used"),
        ("%YAML 1.1\n---\n", "", "directives (%YAML, %TAG) are not used"),
        ("%TAG ! tag:example.org,2000:\n---\n", "", "directives (%YAML, %TAG) are not used"),
        ("", 'source: "a\\u200fb"', "control character U+200F"),
        ("", 'source: "a\\u061cb"', "control character U+061C"),
        ("", "~: 1", "f.yaml:5:1: a key is a text, not nothing"),
        ("", "train: {null: 1}", "f.yaml:5:9: a key is a text, not nothing"),
        ("", "vary: {stride: {? [1] : 2}}", "a key is a text, not a list"),
        ("", "seeds: " + "9" * 5000, "f.yaml:5:8: a number of more than 400 digits"),
        ("", "baseline: {stride: [-" + "1_000" * 200 + "]}", "f.yaml:5:21: a number of more than 400 digits"),
    ],
)
def test_what_changes_how_a_file_reads_is_refused(written, before, more, message):
    assert message in refusal(written(more, before=before))


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: Path(path).symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_not_read(tmp_path, make):
    make(tmp_path / "f.yaml")
    with pytest.raises(FileError, match=r"f\.yaml: cannot be read: it is no regular file$"):
        read(tmp_path / "f.yaml")


@pytest.mark.parametrize("stem", ["a\nb", "a\tb", "a ", " a", "a.", "..", "CON", "nul", "com1", "a\u200bb", "a\u202eb"])
def test_a_name_that_cannot_be_that_of_a_folder_everywhere_is_refused(written, stem):
    message = refusal(written(name=f"{stem}.yaml"))
    assert "is also that of a folder: rename the file" in message
    assert message.isprintable()


@pytest.mark.parametrize("stem", ["-x", "a b", "a..b", "console", "=1", "x" * 200])
def test_other_names_are_kept(written, stem):
    assert load(written(name=f"{stem}.yaml")).name == stem


@pytest.mark.parametrize(
    "says",
    [
        "params[stride=8] > params > params[stride=8]",
        "params[stride=8] > params >= params[stride=8] - 1",
        "params < params[stride=8] < params[stride=16] <= params",
    ],
)
def test_a_chain_that_comes_back_is_refused(written, says):
    path = written(f"vary: {{stride: [16, 8]}}\nclaims: [{{says: '{says}'}}]")
    assert "compares params of a variant with itself" in refusal(path)


@pytest.mark.parametrize(
    "says", ["params[stride=8] > params < params[stride=8]", "params < params[stride=16] < params[stride=8]"]
)
def test_a_chain_that_measurements_decide_is_kept(written, says):
    path = written(f"vary: {{stride: [16, 8]}}\nclaims: [{{says: '{says}'}}]")
    assert len(load(path).claims[0].comparisons) == 2


def test_claims_labels_and_answers_of_an_override_are_checked_like_those_of_the_file(written):
    path = written("vary: {stride: [16, 8]}")
    assert "with itself" in refusal(path, "claims=[{says: params == params}]")
    assert "no variant here has stride=4" in refusal(path, 'labels={"stride=4": x}')
    assert "compares" in refusal(path, 'answers=[{compare: "stride=8", with: "stride=8"}]')


TEXT, COUNT, SCALE, SIZES = (
    Axis("a", "str", ""), Axis("a", "int", 1), Axis("a", "float", 1.0), Axis("a", "list", (), element="int"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("axis", "value", "message"),
    [
        (TEXT, "a\nb", r"takes str without control characters and line breaks, not 'a\\nb'"),
        (TEXT, "a\u200bb", r"takes str without control characters and line breaks, not 'a\\u200bb'"),
        (SCALE, 10**400, "takes float, not 1000"),
        (SCALE, float("nan"), "takes float, not nan"),
        (COUNT, 2.0, r"takes int, not 2\.0 \(float\)"),
        (COUNT, "2", r"takes int, not '2' \(str\)"),
        (COUNT, True, r"takes int, not true \(bool\)"),
        (SIZES, ["2"], r"takes list of int, not \['2'\] \(list of str\)"),
        (SIZES, [2.0], r"takes list of int, not \[2\.0\] \(list of float\)"),
        (SIZES, "2" * 5000, r"takes list of int, not '2+\.\.\. \(str\)"),
    ],
)
def test_an_axis_refuses_in_a_short_line_with_the_type(axis: Axis, value: Any, message: str):
    with pytest.raises(RegistryError, match=f"^axis 'a' {message}") as caught:
        axis.parse(value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["p\x1b[31mx", "a\u202eb", "\x00", "a\rb", "\u2028"])
def test_a_metric_or_dataset_with_a_control_character_is_not_registered(text):
    registries = Registries()
    with pytest.raises(RegistryError, match=r"metric 'evil': .* holds a control character: leave it out"):
        registries.metric(unit=text, better=None, kind="static", name="evil")(lambda subject: 1)
    with pytest.raises(RegistryError, match=r"metric 'evil': .* holds a control character"):
        registries.metric(unit="", better=None, kind="static", name="evil", display_name=text)(lambda subject: 1)
    with pytest.raises(RegistryError, match=r"dataset .* holds a control character"):
        registries.dataset(task="t", licence=text, source="")(lambda root, split, shape: None)
    assert not registries.metrics.names()
