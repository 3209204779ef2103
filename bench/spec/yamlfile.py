"""YAML with positions: plain Python values, and where in the file each of them stands.

YAML 1.2: `1e-3` is a number and `no` a string. Duplicate keys, aliases, tags and deep nesting are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12


class FileError(ValueError):
    """Something wrong in a file; the text begins with `file:line:column:`."""


@dataclass(frozen=True)
class Document:
    """A parsed file: `data` in plain values; `at` gives the position of a path into it."""

    path: str
    data: dict[str, Any]
    positions: dict[tuple[Any, ...], tuple[int, int]]

    def at(self, path: Sequence[Any]) -> str:
        """`file:line:column` of the nearest enclosing thing that has a position."""
        for end in range(len(path), -1, -1):
            if tuple(path[:end]) in self.positions:
                line, column = self.positions[tuple(path[:end])]
                return f"{self.path}:{line}:{column}"
        return self.path


def read(path: Path) -> Document:
    """Raises FileError with one line that says what is wrong and where."""
    shown = str(path)
    text = _text(path, shown)
    _scan(text, shown)
    try:
        loaded = _loader().load(text)
    except Exception as error:
        raise FileError(_located(error, shown)) from None
    if not isinstance(loaded, dict):
        raise FileError(f"{shown}:1:1: an ablation is a mapping of keys (question, architecture, ...)")
    positions: dict[tuple[Any, ...], tuple[int, int]] = {}
    return Document(shown, _plain(loaded, (), positions), positions)


def parse_value(text: str) -> Any:
    """One YAML value from a command line (`[16,8]`, `1e-3`, `true`). Raises FileError."""
    _scan(text, "value")
    try:
        return _plain(_loader().load(text), (), {})
    except Exception as error:
        raise FileError(_located(error, f"'{text}'")) from None


def _loader() -> Any:
    from ruamel.yaml import YAML

    loader = YAML(typ="rt")
    loader.allow_duplicate_keys = False
    return loader


def _text(path: Path, shown: str) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileError(f"{shown}: larger than {MAX_BYTES // 1024} KiB, which no ablation is")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise FileError(f"{shown}:{line}:1: not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise FileError(f"{shown}: cannot be read: {error.strerror}") from None


def _scan(text: str, shown: str) -> None:
    """Refuse what could blow up or hide something before anything is built from it."""
    from ruamel.yaml import YAML, events

    depth = 0
    try:
        for event in YAML(typ="rt").parse(text):
            where = f"{shown}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"
            if isinstance(event, events.AliasEvent) or getattr(event, "anchor", None):
                raise FileError(f"{where}: anchors and aliases are not used in ablations; write the value out")
            if getattr(event, "ctag", None) and not isinstance(event, events.CollectionEndEvent):
                raise FileError(f"{where}: tags are not used in ablations; write a plain value")
            depth += isinstance(event, events.CollectionStartEvent)
            depth -= isinstance(event, events.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise FileError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    except FileError:
        raise
    except Exception as error:
        raise FileError(_located(error, shown)) from None


def _located(error: Exception, shown: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark else shown
    problem = " ".join(str(getattr(error, "problem", None) or error).split("\n", 1)[0].split())
    if "duplicate key" in problem:
        key = problem.split('"')[1] if '"' in problem else problem
        return f"{where}: key '{key}' stands here for the second time"
    return f"{where}: not valid YAML: {problem}"


def _plain(node: Any, path: tuple[Any, ...], positions: dict[tuple[Any, ...], tuple[int, int]]) -> Any:
    """ruamel's node as plain values; positions of keys and items noted on the way."""
    if isinstance(node, dict):
        for key in node:
            if hasattr(node, "lc") and key in (node.lc.data or {}):
                line, column = node.lc.data[key][:2]
                positions[(*path, key)] = (line + 1, column + 1)
        return {_plain(k, path, {}): _plain(v, (*path, k), positions) for k, v in node.items()}
    if isinstance(node, list):
        for index in range(len(node)):
            if hasattr(node, "lc") and index in (node.lc.data or {}):
                line, column = node.lc.data[index][:2]
                positions[(*path, index)] = (line + 1, column + 1)
        return [_plain(item, (*path, index), positions) for index, item in enumerate(node)]
    return _scalar(node)


def _scalar(node: Any) -> Any:
    if isinstance(node, bool) or node is None:
        return node
    for plain in (int, float, str):
        if isinstance(node, plain):
            return plain(node)
    if type(node).__name__ == "ScalarBoolean":
        return bool(node)
    return str(node)
