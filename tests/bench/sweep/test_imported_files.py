import importlib
import os
import sys

from bench.sweep.imported_files import is_imported, remember


def test_modules_imported_before_and_after_remembering(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    files = {name: tmp_path / f"{name}.py" for name in ("imported_first", "imported_later", "never_imported")}
    for file in files.values():
        file.write_text("")
    importlib.import_module("imported_first")
    remember()
    importlib.import_module("imported_later")
    real = {name: os.path.realpath(file) for name, file in files.items()}
    assert [is_imported(path) for path in real.values()] == [True, True, False]
    del sys.modules["imported_later"]
    assert not is_imported(real["imported_later"])
