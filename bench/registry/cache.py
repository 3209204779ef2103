"""The user's cache folder, and tables in it that can be computed again at any time."""

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
    """The folder of this user's caches and locks: `$XDG_CACHE_HOME/fovbench`, else the platform's own.

    That is `~/.cache/fovbench` on Linux, `~/Library/Caches/fovbench` on macOS, `%LOCALAPPDATA%/fovbench/Cache` on
    Windows. Raises RuntimeError where the user has no home folder.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "fovbench"
    from platformdirs import user_cache_path

    folder = user_cache_path("fovbench", appauthor=False)
    if not folder.is_absolute():
        raise RuntimeError("this user has no home folder: set XDG_CACHE_HOME to a folder for caches")
    return folder


def read_table(name: str, version: bytes) -> dict[str, Any]:
    """The table last written under `name` by this `version` of the code; empty where it is missing or damaged.

    The file begins with a digest of version and content, so that a partial file, or one of other code, is rejected.
    """
    try:
        content = (cache_folder() / name).read_bytes()
    except (OSError, RuntimeError):
        return {}
    payload = content[_DIGEST:]
    if hashlib.sha256(version + payload).digest() != content[:_DIGEST]:
        return {}
    table: dict[str, Any] = marshal.loads(payload)
    return table


def write_table(name: str, version: bytes, table: Mapping[str, Any]) -> None:
    """Store a table of plain values and code objects atomically: a concurrent reader gets the old one or the new one.

    Where the folder cannot be written, nothing is stored.
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
