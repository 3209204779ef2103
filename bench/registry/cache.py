"""What is kept for this user between runs: where it lies, and tables that can be made anew at any time."""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DIGEST = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """Where this user's caches and locks lie: `$XDG_CACHE_HOME/fovbench`, or `~/.cache/fovbench`.

    Raises RuntimeError where the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fovbench"


def read_table(name: str, version: bytes) -> dict[str, Any]:
    """What was kept last under `name` by this `version` of its maker; empty where that is missing or damaged.

    The file bears a digest of version and content, so that half of one, or one of other code, is none.
    """
    try:
        held = (cache_folder() / name).read_bytes()
    except (OSError, RuntimeError):
        return {}
    payload = held[_DIGEST:]
    if hashlib.sha256(version + payload).digest() != held[:_DIGEST]:
        return {}
    table: dict[str, Any] = marshal.loads(payload)
    return table


def write_table(name: str, version: bytes, table: Mapping[str, Any]) -> None:
    """Keep a table of plain values and code objects in one step: whoever reads meanwhile finds the old or the new.

    Where nothing can be written, nothing is kept.
    """
    import tempfile

    payload = marshal.dumps(dict(table))
    with contextlib.suppress(OSError, RuntimeError):
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f"{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(version + payload).digest() + payload)
            Path(temporary).replace(folder / name)
        except OSError:
            Path(temporary).unlink()
            raise
