"""Modules run from the text that is digested: never from bytecode of another text."""

import os
import subprocess
import sys
import textwrap

from bench.registry.loading import EXECUTED, ExactFinder, is_installed, text_digest

IMPORT = """
import importlib, sys
from bench.registry import loading
loading.install()
import neighbour
(texts,) = [texts for path, texts in loading.EXECUTED.items() if path.endswith("neighbour.py")]
print(neighbour.VALUE, *texts)
"""


def imported(folder) -> list[str]:
    """Value and digest of `neighbour` as a new process imports it."""
    path = os.pathsep.join([str(folder), *(p for p in sys.path if p)])
    command = [sys.executable, "-c", textwrap.dedent(IMPORT)]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    return ended.stdout.split()


def test_a_text_of_the_same_size_and_date_is_not_taken_for_the_one_whose_bytecode_is_cached(tmp_path):
    file = tmp_path / "neighbour.py"
    file.write_text("VALUE = 1\n")
    os.utime(file, (1, 1))
    plain = [sys.executable, "-c", "import neighbour; print(neighbour.VALUE)"]
    where = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    where |= {"PYTHONPATH": str(tmp_path)}
    assert subprocess.run(plain, env=where, capture_output=True, text=True, check=True).stdout == "1\n"
    file.write_text("VALUE = 2\n")
    os.utime(file, (1, 1))
    assert subprocess.run(plain, env=where, capture_output=True, text=True, check=True).stdout == "1\n", "Python's own"
    assert imported(tmp_path) == ["2", text_digest(b"VALUE = 2\n")]


def test_installed_packages_are_left_to_python():
    assert is_installed(os.__file__)
    assert is_installed(sys.modules["pytest"].__file__)
    assert not is_installed(__file__)
    assert ExactFinder.find_spec("json").loader.__class__.__name__ == "SourceFileLoader"
    assert not any(is_installed(path) for path in EXECUTED)
