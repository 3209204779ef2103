"""An ablation file runs no code of a file or module that the command line does not name."""

from __future__ import annotations

import pytest

from bench.spec.ablation import AblationError, load

NETWORK = """
import pathlib
pathlib.Path(__file__).with_suffix(".ran").touch()

def net(*, width: int = 8):
    "A network of a file."
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "foreign.py").write_text(NETWORK)
    (tmp_path / "other.py").write_text(NETWORK)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text(NETWORK)
    (tmp_path / "package" / "inner.py").write_text(NETWORK)
    return tmp_path


def text(architecture: str, more: str = "") -> str:
    return f"question: q\narchitecture: {architecture}\nvary: {{width: [16]}}\nmetrics: [params]\n{more}"


@pytest.mark.parametrize(
    ("architecture", "plugins", "file"),
    [
        ("foreign.py:net", [], "foreign.py"),
        ("foreign.py:net", ["other.py"], "foreign.py"),
        ("package.inner:net", [], "package.inner"),
        ("package.inner:net", ["package"], "package.inner"),
        ("package/inner.py:net", [], "package/inner.py"),
    ],
)
def test_code_that_is_not_named_is_refused_and_does_not_run(folder, write, architecture, plugins, file):
    message = rf":2:1: '{architecture}' would run code from {file}; allow it with --plugin {file}"
    with pytest.raises(AblationError, match=message):
        load(write(text(architecture)), plugins=plugins)
    assert not [*folder.rglob("*.ran")]


def test_code_of_compare_with_is_refused_too(folder, write):
    with pytest.raises(AblationError, match=r":5:\d+: 'foreign\.py:net' would run code"):
        load(write(text("other.py:net", "compare_with: [{architecture: foreign.py:net}]\n")), plugins=["other.py"])
    assert not (folder / "foreign.ran").exists()


@pytest.mark.parametrize("plugin", ["foreign.py", "./foreign.py", "package/../foreign.py"])
def test_a_plugin_of_that_file_allows_it(folder, write, plugin):
    ablation = load(write(text("foreign.py:net")), plugins=[plugin])
    assert [variant.name for variant in ablation.variants] == ["foreign.py:net(width=8)", "foreign.py:net(width=16)"]
    assert (folder / "foreign.ran").exists()


def test_a_plugin_of_that_module_allows_it(folder, write):
    ablation = load(write(text("package.inner:net")), plugins=["package.inner"])
    assert [variant.values for variant in ablation.variants] == [{"width": 8}, {"width": 16}]


def test_a_missing_file_is_named(folder, write):
    with pytest.raises(AblationError, match=r"'none\.py:net' would run code from none\.py"):
        load(write(text("none.py:net")))
