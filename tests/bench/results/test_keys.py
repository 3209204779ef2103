"""Keys name code by its role and content: moving a module costs nothing, changing it makes its measurements due."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from bench.results.keys import KINDS, hashed, requests
from bench.results.sources import code_digest, digest
from bench.spec.ablation import load


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def test_the_names_of_modules_are_no_part_of_a_key():
    before = {"metric": "m", "code": {"metric": {"bench.m": "1a", "bench.helper": "2b"}, "architecture": {"x": "3c"}}}
    moved = {"metric": "m", "code": {"metric": {"lib.help": "2b", "lib.m": "1a"}, "architecture": {"y": "3c"}}}
    assert hashed(before) == hashed(moved)


@pytest.mark.parametrize(
    "code",
    [
        {"metric": {"bench.m": "1a", "bench.helper": "9z"}, "architecture": {"x": "3c"}},
        {"metric": {"bench.m": "1a"}, "architecture": {"x": "3c"}},
        {"metric": {"bench.m": "1a", "bench.helper": "2b", "bench.more": "2b"}, "architecture": {"x": "3c"}},
        {"metric": {"x": "3c"}, "architecture": {"bench.m": "1a", "bench.helper": "2b"}},
    ],
)
def test_content_and_role_of_code_are(code):
    before = {"metric": "m", "code": {"metric": {"bench.m": "1a", "bench.helper": "2b"}, "architecture": {"x": "3c"}}}
    assert hashed(before) != hashed({"metric": "m", "code": code})


IMPORTER = "from bench.tasks.{module} import {name}\n\ndef f(x):\n    return {used}(x)\n"


def of(folder: Path, text: str) -> str:
    digest.cache_clear()
    return digest(write(folder / "m.py", text))


def test_where_an_imported_project_module_lies_does_not_count_and_what_is_imported_does(tmp_path):
    base = of(tmp_path, IMPORTER.format(module="pose", name="pck", used="pck"))
    assert of(tmp_path, IMPORTER.format(module="joints.pose", name="pck", used="pck")) == base
    assert of(tmp_path, IMPORTER.format(module="pose", name="pckh", used="pck")) != base
    assert of(tmp_path, IMPORTER.format(module="pose", name="pckh as pck", used="pck")) != base
    assert of(tmp_path, IMPORTER.format(module="pose", name="pck, pckh", used="pck")) != base


def test_where_a_foreign_module_comes_from_counts(tmp_path):
    one = of(tmp_path, "from torch.nn import functional\n\ndef f(x):\n    return functional.relu(x)\n")
    assert one != of(tmp_path, "from mine.nn import functional\n\ndef f(x):\n    return functional.relu(x)\n")


def test_an_import_within_a_function_or_under_type_checking_does_not_break_the_digest(tmp_path):
    inner = of(tmp_path, "def f(x):\n    from bench.tasks.pose import pck\n")
    assert inner == of(tmp_path, "def f(x):\n    from bench.tasks.joints import pck\n")
    assert inner != of(tmp_path, "def f(x):\n    from bench.tasks.pose import pckh\n")
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bench.{} import A\n"
    assert of(tmp_path, typed.format("one")) == of(tmp_path, typed.format("two.three"))


def test_a_helper_that_moves_within_a_plug_in_s_folder_gives_the_same_digests(tmp_path):
    """The importer's own text changes with the path of a helper outside bench and architectures; its content counts."""
    helper = "def g(x):\n    return x + 1\n"
    write(tmp_path / "a" / "helper.py", helper)
    write(tmp_path / "b" / "helper.py", helper)
    top = "from helper import g\n\ndef f(x):\n    return g(x)\n"
    first, second = (code_digest([("top", write(tmp_path / name / "top.py", top))]) for name in "ab")
    assert first == second
    write(tmp_path / "c" / "helper.py", helper.replace("+ 1", "+ 2"))
    third = code_digest([("top", write(tmp_path / "c" / "top.py", top))])
    assert third["top"] == first["top"]
    assert third["helper"] != first["helper"]


PLUGIN = """
from bench.registry import architecture, metric

@architecture(task="none", source="nobody")
def net(*, a: int = 0):
    "A net."
    return a

@metric(unit="", better=None, kind="static")
def number(subject):
    "A number."
    return {}
"""


def key(folder: Path, body: str, name: str = "plugin.py") -> str:
    path = write(folder / name, PLUGIN.format(body))
    file = write(folder / "q.yaml", "question: q\narchitecture: net\nmetrics: [number]\n")
    (request,) = requests(load(file, plugins=[str(path)]), {})
    return request.key


def test_a_plug_in_that_is_moved_or_renamed_keeps_its_keys_and_one_that_is_edited_does_not(tmp_path):
    base = key(tmp_path / "one", "1")
    assert key(tmp_path / "two", "1") == base
    assert key(tmp_path / "three", "1", "renamed.py") == base
    assert key(tmp_path / "four", "2") != base


def test_how_the_harness_makes_a_number_is_part_of_its_key(tmp_path):
    file = write(tmp_path / "q.yaml", "question: q\narchitecture: fcn\nmetrics: [params, latency, miou]\n")
    roles = {request.kind: request.parts["code"] for request in requests(load(file), {}, KINDS)}
    assert {"bench.hardware.subject", "bench.sweep.subjects"} == roles["static"]["subject"].keys()
    assert roles["speed"]["subject"] == roles["static"]["subject"]
    assert {"bench.training.loop", "bench.sweep.training_run"} <= roles["accuracy"]["training"].keys()
