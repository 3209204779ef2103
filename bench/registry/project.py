"""The project of the user: the folder that commands work in, and what its file says.

A project is a folder with `fovbench.toml`, or with `[tool.fovbench]` in `pyproject.toml`. It is looked for from the
current folder upwards, as git does. Without such a file the current folder is the project, and everything has its
default:

    plugins = ["network.py", "metrics/*.py", "package.module"]
    data = "data"                      # folder of datasets
    store = "results/store.sqlite"     # or "postgresql://USER@HOST/DATABASE"
    reports = "reports/site"

    [defaults]                         # of the project's ablations; options of the command line win
    workers = 2
    device = "cpu"

Paths are relative to the folder of the file. That folder is importable. Every other key is refused.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.registry.errors import RegistryError, suggestion

FILE, SHARED_FILE = "fovbench.toml", "pyproject.toml"
KINDS: Mapping[str, str] = {
    "plugins": "a list of files and modules",
    "data": "a folder",
    "store": "a file, or postgresql://USER@HOST/DATABASE",
    "reports": "a folder",
    "defaults": "a table with workers, device",
}
"""Key -> what it takes."""
DEFAULTS: Mapping[str, str] = {"workers": "a number from 1", "device": "cpu, cuda, cuda:1 or mps"}
DEVICE = r"cpu|cuda(:\d{1,3})?|mps"


class ProjectError(RegistryError):
    """A project file that cannot be used; the text begins with its path."""


@dataclass(frozen=True)
class Project:
    """A folder, relative to the current one, and what its file says; None stands for what it leaves out.

    `store` is text where it is a server. Files of plug-ins are absolute, since what they declare is remembered by their
    names.
    """

    folder: Path
    plugins: tuple[str, ...] = ()
    data: Path | None = None
    store: Path | str = Path("results") / "store.sqlite"
    reports: Path = Path("reports") / "site"
    workers: int | None = None
    device: str | None = None
    file: Path | None = None

    def place(self, *parts: str) -> Path:
        """A path below the project's folder."""
        return self.folder.joinpath(*parts)


def project() -> Project:
    """The project of the current folder. Raises ProjectError for a file that cannot be used."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        for name in (FILE, SHARED_FILE):
            if (folder / name).is_file() and (table := _table(folder / name)) is not None:
                _check_owner(folder / name, here)
                return _project(folder, folder / name, table)
    return Project(Path())


def located(file: str) -> Path:
    """The file that a text names: below the current folder, or where it is not there, below the project's."""
    path = Path(file)
    below = project().place(file)
    return below if not path.is_file() and below.is_file() else path


def with_project(plugins: Sequence[str]) -> tuple[str, ...]:
    """The plug-ins of the project, then these; a file that the project names too is loaded once."""
    its = project().plugins
    files = {os.path.realpath(plugin) for plugin in its if plugin.endswith(".py")}
    further = (plugin for plugin in plugins if os.path.realpath(located(plugin)) not in files)
    return tuple(dict.fromkeys((*its, *further)))


def make_importable(folder: Path) -> None:
    """Let modules of a folder be imported; they never hide those of Python or of installed packages."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _table(file: Path) -> Mapping[str, Any] | None:
    """What a file says to fovbench; None where a `pyproject.toml` says nothing. Raises ProjectError."""
    try:
        stat = file.stat()
        return _parsed(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ProjectError(f"{_shown(file)}: cannot be read: {error.strerror}") from None


@functools.lru_cache(maxsize=64)
def _parsed(file: Path, *_: int) -> Mapping[str, Any] | None:
    """Remembered by size and date of the file."""
    content = file.read_bytes()
    shared = file.name == SHARED_FILE
    if shared and b"fovbench" not in content:
        return None
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ProjectError(f"{_shown(file)}: not UTF-8 text; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{_shown(file)}: not valid TOML: {error}") from None
    tool = table.get("tool", {}) if shared else {}
    return tool.get("fovbench") if shared and isinstance(tool, dict) else table


def _check_owner(file: Path, here: Path) -> None:
    """Raises ProjectError for a file of somebody else in a folder above: its plug-ins would run with the user's rights.

    Allowed are files of the user, of root, and of the owner of the current folder.
    """
    if hasattr(os, "getuid") and file.stat().st_uid not in (os.getuid(), 0, here.stat().st_uid):
        raise ProjectError(
            f"{file}: belongs to another user, and names code that would run with your rights\n"
            f"to work without it, make an empty {FILE} in your own folder"
        )


def _project(folder: Path, file: Path, table: Any) -> Project:
    """Raises ProjectError for a key, a type or a plug-in that does not exist."""
    where = f"{_shown(file)}{': [tool.fovbench]' if file.name == SHARED_FILE else ''}"
    _check(table, KINDS, where)
    defaults = table.get("defaults", {})
    _check(defaults, DEFAULTS, f"{where}: [defaults]")
    near = Path(os.path.relpath(folder))
    make_importable(folder)
    return Project(
        folder=near,
        plugins=tuple(
            dict.fromkeys(name for entry in table.get("plugins", ()) for name in _plugins(near, entry, where))
        ),
        data=near / os.path.expanduser(table["data"]) if "data" in table else None,
        store=_store(near, table.get("store", Project.store)),
        reports=near / os.path.expanduser(table.get("reports", Project.reports)),
        workers=defaults.get("workers"),
        device=defaults.get("device"),
        file=near / file.name,
    )


def _store(folder: Path, named: str | Path) -> Path | str:
    """A file is relative to the project's; the URL of a server stays text."""
    return str(named) if "://" in str(named) else folder / os.path.expanduser(named)


def _plugins(folder: Path, entry: str, where: str) -> Iterator[str]:
    """The absolute paths of the files that an entry names; a module as it is."""
    if not entry.endswith(".py"):
        if (folder / entry).is_dir() and not (folder / entry / "__init__.py").is_file():
            raise ProjectError(
                f"{where}: plug-in '{entry}': is a folder; name its files, as '{entry.rstrip('/')}/*.py'"
            )
        yield entry
        return
    files = sorted(folder.glob(entry)) if "*" in entry and not Path(entry).is_absolute() else [folder / entry]
    if missing := [file for file in files or [folder / entry] if not file.is_file()]:
        near = difflib.get_close_matches(missing[0].name, [file.name for file in missing[0].parent.glob("*.py")], n=1)
        hint = f", did you mean '{near[0]}'?" if near else f"; {missing[0].resolve()} is looked for"
        raise ProjectError(f"{where}: plug-in '{entry}': there is no such file{hint}")
    yield from (os.path.abspath(file) for file in files)


def _check(table: Any, kinds: Mapping[str, str], where: str) -> None:
    """Raises ProjectError for an unknown key, with the nearest name, and for a value of another type."""
    if not isinstance(table, dict):
        raise ProjectError(f"{where}: must be a table")
    for key, value in table.items():
        if key not in kinds:
            raise ProjectError(f"{where}: there is no key '{key}'{suggestion(key, list(kinds))}")
        if not _fits(key, value):
            raise ProjectError(f"{where}: '{key}' takes {kinds[key]}, not {value!r}")


def _fits(key: str, value: Any) -> bool:
    if key == "plugins":
        return isinstance(value, list) and all(isinstance(each, str) and each for each in value)
    if key == "device":
        return isinstance(value, str) and re.fullmatch(DEVICE, value) is not None
    if key == "workers":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return isinstance(value, dict) if key == "defaults" else isinstance(value, str) and bool(value)


def _shown(file: Path) -> str:
    return os.path.relpath(file)
