"""Results that could not be stored, in a file: one JSON object a line, each with its checksum.

The file lies in the store's folder, or where that cannot be written in the cache folder or the temporary one. Its name
has the store's, so that the next run finds it.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.registry.cache import cache_folder
from bench.registry.writing import write_text
from bench.results.store import Store, StoredRow
from bench.results.storefile import StoreError, digest


@dataclass(frozen=True)
class Spilled:
    """What a run had in hand: rows as the store keeps them, and packed evaluations (training run, facts, arrays).

    `replace` says that the rows take the place of stored ones.
    """

    rows: tuple[StoredRow, ...] = ()
    evaluations: tuple[tuple[str, str, bytes], ...] = ()
    replace: bool = False

    def __len__(self) -> int:
        return len(self.rows) + len(self.evaluations)


def write(store: Path, *spilled: Spilled) -> Path:
    """Write what could not be stored to a new file; its path. Raises OSError where no folder can be written."""
    text = "".join(f"{line}\n" for each in spilled for line in _lines(each))
    error = OSError("there is no folder for it")
    for folder in _folders(store):
        try:
            return write_text(_free_name(folder, store), text)
        except OSError as reason:
            error = reason
    raise error


def _free_name(folder: Path, store: Path) -> Path:
    names = (folder / f"{_prefix(store)}{os.getpid()}-{number}.jsonl" for number in itertools.count())
    return next(name for name in names if not name.exists())


def _folders(store: Path) -> list[Path]:
    """The folders that are tried, in this order; without the cache folder where the user has none."""
    try:
        cache = [cache_folder()]
    except RuntimeError:
        cache = []
    return list(dict.fromkeys([store.absolute().parent, *cache, Path(tempfile.gettempdir())]))


def _prefix(store: Path) -> str:
    """The store's name, and a digest of its place: the cache folder serves many stores."""
    place = hashlib.sha256(os.fsencode(os.path.realpath(store))).hexdigest()[:8]
    return f"{store.name}.spill-{place}-"


def files_of(store: Path) -> list[Path]:
    """The files with results that wait for this store; in the temporary folder only the user's own."""
    paths = (path for folder in _folders(store) for path in _listed(folder))
    prefix = _prefix(store)
    chosen = (path for path in paths if path.name.startswith(prefix) and path.suffix == ".jsonl")
    return [path for path in chosen if path.is_file() and not path.is_symlink() and _is_own(path)]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # it does not exist, or this user may not look into it, and then has written nothing there
        return []


def _is_own(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()


def _lines(spilled: Spilled) -> Iterator[str]:
    for row in spilled.rows:
        yield _sealed({"row": dict(row), "replace": spilled.replace})
    for training_run, facts, arrays in spilled.evaluations:
        encoded = base64.b64encode(arrays).decode("ascii")
        item = {"training_run": training_run, "facts": facts, "arrays": encoded}
        yield _sealed({**item, "replace": spilled.replace})


def _sealed(item: Mapping[str, Any]) -> str:
    return json.dumps({**item, "checksum": _checksum(item)}, sort_keys=True)


def _checksum(item: Mapping[str, Any]) -> str:
    return digest(json.dumps(item, sort_keys=True).encode())


def read(path: Path) -> list[Spilled]:
    """What the file holds, a value for each line. Raises StoreError naming the first damaged line."""
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    return [_item(f"{path}:{number}", line) for number, line in enumerate(lines, start=1)]


def _item(where: str, line: str) -> Spilled:
    try:
        item = json.loads(line)
        if item.pop("checksum") != _checksum(item):
            raise ValueError("it does not match its checksum")
        if "row" in item:
            return Spilled((item["row"],), replace=item["replace"])
        evaluation = item["training_run"], item["facts"], base64.b64decode(item["arrays"])
        return Spilled(evaluations=(evaluation,), replace=item["replace"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{where}: damaged, and the file is not taken in ({error})") from None


def take_in(store: Store, paths: Iterable[Path]) -> int:
    """Store what waits in these files, and remove them; how many results were new.

    What the store has is left as it is, so that a file that is taken in twice doubles nothing. A row that was to
    replace an older one does so if the stored one is not later.
    """
    added = 0
    for path in paths:
        items = read(path)
        added += sum(_taken(store, item) for item in items)
        path.unlink(missing_ok=True)
    return added


def _taken(store: Store, item: Spilled) -> int:
    evaluated = store.evaluated() if item.evaluations and not item.replace else set()
    missing = [each for each in item.evaluations if each[0] not in evaluated]
    for training_run, facts, arrays in missing:
        store.add_packed(training_run, facts, arrays)
    return len(missing) + store.add_rows(item.rows, item.replace and _is_latest(store, item.rows))


def _is_latest(store: Store, rows: Sequence[StoredRow]) -> bool:
    stored = {record.measurement.key: record.created for record in store.records(row["key"] for row in rows)}
    return all(stored.get(row["key"], "") <= row["created"] for row in rows)
