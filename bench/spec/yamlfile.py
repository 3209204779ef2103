"""YAML with positions: plain Python values, and the line and column of each key and item.

YAML 1.2: `1e-3` is a number and `no` a string. Duplicate keys, aliases, tags, deep nesting and control characters are
refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.spec.characters import character_name, forbidden_character

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12
MAX_DIGITS = 400
"""Of a number without a point; a float has at most 309."""

Positions = dict[tuple[Any, ...], tuple[int, int]]
"""(key, key, index, ...) -> (line, column), both from 1."""


class FileError(ValueError):
    """A file that cannot be used; the text begins with `file:line:column:`."""


@dataclass(frozen=True)
class Document:
    """A parsed file: `data` in plain values, and the position of each key and item.

    `base` is the file that it extends, where the keys stand that the file itself does not have.
    """

    path: str
    data: dict[str, Any]
    positions: Positions
    base: Document | None = None

    def at(self, path: Sequence[Any]) -> str:
        """`file:line:column` of the key or item at `path`, or of the nearest one that encloses it."""
        return self._nearest(path)[1]

    def _nearest(self, path: Sequence[Any]) -> tuple[int, str]:
        """(how much of `path` has a position, where that is): in the file itself, or nearer in its base."""
        ends = (end for end in range(len(path), 0, -1) if tuple(path[:end]) in self.positions)
        end = next(ends, 0)
        line, column = self.positions.get(tuple(path[:end]), (0, 0))
        own = end, f"{self.path}:{line}:{column}" if line else self.path
        return max(own, self.base._nearest(path) if self.base else own, key=lambda each: each[0])


def read(path: Path) -> Document:
    """The YAML mapping in a file. Raises FileError with one line that names the position and the fault."""
    shown = str(path)
    text = _text(path, shown)
    _check(text, shown)
    try:
        loaded = _loader().load(text)
    except Exception as error:
        raise FileError(_explained(error, shown)) from None
    if not isinstance(loaded, dict):
        raise FileError(f"{shown}:1:1: an ablation is a mapping of keys (question, architecture, ...)")
    positions: Positions = {}
    data = _plain(loaded, (), positions)
    _check_keys(positions, shown)
    return Document(shown, data, positions)


def parse_value(text: str) -> Any:
    """One YAML value from a command line (`[16,8]`, `1e-3`, `true`). Raises FileError."""
    _check(text, "value")
    try:
        return _plain(_loader().load(text), (), {})
    except Exception as error:
        raise FileError(_explained(error, f"'{text}'")) from None


def _loader() -> Any:
    from ruamel.yaml import YAML

    loader = YAML(typ="rt")
    loader.allow_duplicate_keys = False
    return loader


def _text(path: Path, shown: str) -> str:
    try:
        if not path.is_file():  # a pipe or a device may never end
            problem = "it is a folder" if path.is_dir() else "it is no regular file"
            raise FileError(
                f"{shown}: cannot be read: {problem}" if path.exists() else f"{shown}: there is no such file"
            )
        if path.stat().st_size > MAX_BYTES:
            raise FileError(f"{shown}: larger than {MAX_BYTES // 1024} KiB, the limit for an ablation")
        content = path.read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileError(f"{shown}:{line}:1: not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise FileError(f"{shown}: cannot be read: {error.strerror}") from None


def _check(text: str, shown: str) -> None:
    """Refuse text that could exhaust the memory, run code or garble a terminal, before anything is built from it."""
    _check_characters(text, shown)
    from ruamel.yaml import YAML, events

    depth = 0
    try:
        for event in YAML(typ="rt").parse(text):
            where = f"{shown}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"
            _check_event(event, where)
            depth += isinstance(event, events.CollectionStartEvent)
            depth -= isinstance(event, events.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise FileError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    except FileError:
        raise
    except Exception as error:
        raise FileError(_explained(error, shown)) from None


def _check_keys(positions: Positions, shown: str) -> None:
    """Refuse a key that is empty or a list, which no section has."""
    for (*_, key), (line, column) in positions.items():
        if key is None or isinstance(key, (tuple, dict)):
            kind = "nothing" if key is None else "a list" if isinstance(key, tuple) else "a mapping"
            raise FileError(f"{shown}:{line}:{column}: a key is a text, not {kind}")


def _check_characters(text: str, shown: str) -> None:
    """Refuse control characters in the text of the file itself; a carriage return may end a line."""
    match = forbidden_character(text.replace("\r", "\n"))
    if match:
        before = text[: match.start()]
        where = f"{shown}:{before.count(chr(10)) + 1}:{match.start() - before.rfind(chr(10))}"
        raise FileError(f"{where}: not valid YAML: control character {character_name(match[0])}")


def _check_event(event: Any, where: str) -> None:
    """Refuse an anchor, an alias, a tag, a directive, a merge key, or a string with an escaped control character."""
    from ruamel.yaml import events

    if isinstance(event, events.AliasEvent) or getattr(event, "anchor", None):
        raise FileError(f"{where}: anchors and aliases are not used in ablations; repeat the value")
    if getattr(event, "ctag", None) and not isinstance(event, events.CollectionEndEvent):
        raise FileError(f"{where}: tags are not used in ablations; write a plain value")
    if isinstance(event, events.DocumentStartEvent) and (event.version or event.tags):
        raise FileError(
            f"{where}: directives (%YAML, %TAG) are not used in ablations, which are YAML 1.2; leave it out"
        )
    if isinstance(event, events.ScalarEvent) and event.value == "<<" and event.style is None:
        raise FileError(f"{where}: merge keys (<<) are not used in ablations; repeat the values")
    if isinstance(event, events.ScalarEvent) and event.style is None and _digits(event.value) > MAX_DIGITS:
        raise FileError(f"{where}: a number of more than {MAX_DIGITS} digits")
    match = forbidden_character(getattr(event, "value", None) or "")
    if match:
        raise FileError(f"{where}: control character {character_name(match[0])} in a text; leave it out")


def _digits(text: str) -> int:
    """The number of digits of a whole number; 0 for another text."""
    digits = text.lstrip("+-").replace("_", "")
    return len(digits) if digits.isdecimal() else 0


def _explained(error: Exception, shown: str) -> str:
    """One line for an error of ruamel.yaml: position and problem."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark else shown
    problem = " ".join(str(getattr(error, "problem", None) or error).split("\n", 1)[0].split())
    if "duplicate key" in problem:
        key = problem.split('"')[1] if '"' in problem else problem
        return f"{where}: key '{key}' is listed twice"
    return f"{where}: not valid YAML: {problem}"


def _plain(node: Any, path: tuple[Any, ...], positions: Positions) -> Any:
    """ruamel.yaml's node as plain values; adds the positions of its keys and items to `positions`."""
    if isinstance(node, dict):
        _add_positions(node, node, path, positions)
        return {_plain(key, path, {}): _plain(value, (*path, key), positions) for key, value in node.items()}
    if isinstance(node, list):
        _add_positions(node, range(len(node)), path, positions)
        return [_plain(item, (*path, index), positions) for index, item in enumerate(node)]
    return _scalar(node)


def _add_positions(node: Any, keys: Any, path: tuple[Any, ...], positions: Positions) -> None:
    places = (node.lc.data or {}) if hasattr(node, "lc") else {}
    for key in keys:
        if key in places:
            line, column = places[key][:2]
            positions[(*path, key)] = (line + 1, column + 1)


def _scalar(node: Any) -> Any:
    if isinstance(node, bool) or node is None:
        return node
    for plain in (int, float, str):
        if isinstance(node, plain):
            return plain(node)
    if type(node).__name__ == "ScalarBoolean":
        return bool(node)
    return str(node)
