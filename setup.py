"""What `pyproject.toml` cannot say: the ablations, their bundles and expectations go into the package `bench`."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("ablations", "results/expected", "results/reference")


class WithBuiltin(build_py):
    """Copies the folders to `bench/builtin/`, where the installed package looks for them."""

    def _get_data_files(self) -> list[tuple[str, str, str, list[str]]]:
        return [*super()._get_data_files(), *(self._builtin(folder) for folder in FOLDERS if not self.editable_mode)]

    def _builtin(self, folder: str) -> tuple[str, str, str, list[str]]:
        files = sorted(file.relative_to(folder).as_posix() for file in Path(folder).rglob("*") if file.is_file())
        return "bench", folder, str(Path(self.build_lib, "bench", "builtin", folder)), files


setup(cmdclass={"build_py": WithBuiltin})
