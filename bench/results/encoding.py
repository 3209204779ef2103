"""What can be stored of a measurement, an evaluation and their texts: strict JSON of limited size.

The worker encodes what it sends and the store what it writes by these functions, so that what one accepts the other
does too, and what does not fit fails one measurement, by name, and never a run or a table.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.results.measurement import Evaluation, Measurement
from bench.spec.characters import printable

ERROR_LIMIT = 1_000
SHOWN_PLACE = 200
_PLACE = re.compile(r" \([^()\s]+\.py:\d+\)$")
"""Where a failure comes from, at the end of its text, of at most SHOWN_PLACE characters."""
"""Characters of an error."""
TRACEBACK_LIMIT = 8_000
"""Characters of a traceback; its beginning and its end are kept."""
DETAIL_LIMIT = 1_000_000
"""Characters of a detail, as JSON."""
FACTS_LIMIT = 4_000_000
"""Characters of the facts of an evaluation, as JSON: maps of a receptive field are among them."""
SAMPLES_LIMIT = 100_000
"""Samples of one measurement."""
ARRAYS_LIMIT = 1_000_000_000
"""Bytes of an evaluation's arrays: SQLite takes no more in one field."""
SHOWN = 40
"""Characters of a value in a message."""
DEPTH = 50
"""Levels of lists and mappings in each other."""
WHOLE_NUMBERS = 2**63
"""Integers are smaller than this, so that a table can hold them."""


class EncodingError(ValueError):
    """A value that cannot be stored; the message says where it is and what would have worked."""

    kind = "failed"


def json_text(value: Any, what: str = "the value", limit: int | None = None) -> str:
    """The value as compact JSON with sorted keys. Raises EncodingError as `plain` does, and for more than `limit`."""
    text = json.dumps(plain(value, what), sort_keys=True, separators=(",", ":"), allow_nan=False)
    if limit is not None and len(text) > limit:
        raise EncodingError(f"{what} cannot be stored: it has {len(text):,} characters as JSON, of at most {limit:,}")
    return text


def plain(value: Any, what: str) -> Any:
    """The value as JSON has it: mappings with text as keys, lists, text, booleans, integers, finite numbers, None.

    Numbers of numpy and torch (0-d) become Python's, tuples become lists. Raises EncodingError for anything else.
    """
    return _plain(value, what, ())


def _plain(value: Any, what: str, path: tuple[str, ...]) -> Any:
    if len(path) > DEPTH:
        raise _refused(what, path[:3], f"is nested more than {DEPTH} deep, or contains itself")
    if isinstance(value, Mapping):
        return {_key(key, what, path): _plain(each, what, (*path, str(key))) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, what, (*path, str(place))) for place, each in enumerate(value)]
    return _scalar(value, what, path)


def _key(key: Any, what: str, path: tuple[str, ...]) -> str:
    if type(key) is not str:
        where = f" of {'.'.join(path)}" if path else ""
        raise EncodingError(
            f"{what} cannot be stored: key {_short(key)}{where} is {_a(type(key).__name__)}; keys must be text"
        )
    return str(_text(key, what, (*path, key)))


def _scalar(value: Any, what: str, path: tuple[str, ...]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, what, path)
    number = number_of(value)
    if number is None:
        raise _refused(what, path, f"is of type {type(value).__name__}; {_instead(value)}")
    if isinstance(number, bool):
        return number
    if problem := number_problem(number):
        raise _refused(what, path, problem)
    return number


def number_of(value: Any) -> int | float | bool | None:
    """A number of Python, or a 0-d one of numpy or torch, as Python's int, float or bool; None for anything else."""
    if not isinstance(value, (int, float)) and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else None


def number_problem(number: int | float) -> str:
    """Why the number cannot be stored; empty where it can."""
    if isinstance(number, float):
        return "" if math.isfinite(number) else f"is {number}, which is not a finite number"
    return "" if abs(number) < WHOLE_NUMBERS else "is an integer of more than 64 bits; make it a float"


def _text(value: str, what: str, path: tuple[str, ...]) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _refused(what, path, f"holds {value[error.start]!a}, half of a surrogate pair") from None
    return str(value)


def _refused(what: str, path: Sequence[str], problem: str) -> EncodingError:
    where = f"{printable('.'.join(path))[:100]} " if path else "it "
    return EncodingError(f"{what} cannot be stored: {where}{problem}")


_INSTEAD = {
    "bytes": "write text", "bytearray": "write text", "set": "write a list", "frozenset": "write a list",
    "datetime": "write .isoformat()", "date": "write .isoformat()", "PosixPath": "write str(...)",
    "complex": "write its parts", "generator": "write list(...)",
}  # fmt: skip


def _instead(value: Any) -> str:
    if hasattr(value, "tolist"):
        return "write .tolist()"
    return _INSTEAD.get(type(value).__name__, "write numbers, text, lists and mappings")


def _a(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # the code of a plug-in, or an integer with too many digits
        text = "a value"
    return printable(text if len(text) <= SHOWN else f"{text[:SHOWN]} ...")


def samples_of(value: Any) -> tuple[int | float, ...]:
    """What a metric measured, as samples. Raises EncodingError with what a metric may return."""
    several = isinstance(value, (list, tuple))
    if several and len(value) > SAMPLES_LIMIT:
        raise EncodingError(f"the metric gave {len(value):,} samples, of at most {SAMPLES_LIMIT:,}")
    if value is None:
        return ()
    return tuple(_sample(each) for each in (value if several else (value,)))


def _sample(value: Any) -> int | float:
    number = number_of(value)
    if number is None or isinstance(number, bool):
        hint = "return .tolist()" if hasattr(value, "tolist") else "return a number, a list of numbers or a Reading"
        raise EncodingError(f"the metric gave {_short(value)} of type {type(value).__name__}; {hint}")
    if problem := number_problem(number):
        raise EncodingError(f"the metric gave a value that {problem}")
    return number


def error_text(error: str | None) -> str | None:
    """The first line of an error, without what a terminal must not get, of at most ERROR_LIMIT characters.

    A longer one keeps the place at its end, `(network.py:17)`.
    """
    if error is None:
        return None
    line = next(iter(str(error)[: 2 * ERROR_LIMIT].splitlines()), "")
    text = printable(line).strip() or "failed: without a message"
    place = _PLACE.search(str(error)[-SHOWN_PLACE:])
    end = f" ...{place[0]}" if place else " ..."
    return text if len(text) <= ERROR_LIMIT else f"{text[: ERROR_LIMIT - len(end)]}{end}"


def traceback_text(text: str) -> str:
    """A traceback without what a terminal must not get, its beginning and its end where it is too long."""
    if len(text) > TRACEBACK_LIMIT:
        half = TRACEBACK_LIMIT // 2 - 50
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n  ... {left_out:,} characters left out ...\n{text[-half:]}"
    return printable(text)


def storable(m: Measurement) -> Measurement:
    """The measurement as the store can hold it: itself, or failed with what of it cannot be stored."""
    error, traceback = error_text(m.error), traceback_text(m.traceback)
    try:
        return replace(m, **_values(m), error=error, traceback=traceback)
    except EncodingError as problem:
        lost: dict[str, Any] = {"samples": (), "detail": {}, "contributions": (), "files": {}}
        lost |= {"environment": _environment(m), "traceback": traceback}
        return replace(m, **lost, error=error or error_text(f"failed: {problem}"))


def _values(m: Measurement) -> dict[str, Any]:
    detail = plain(m.detail, f"the detail of {m.metric}")
    json_text(detail, f"the detail of {m.metric}", DETAIL_LIMIT)
    contributions = plain(tuple(m.contributions), f"the contributions to {m.metric}")
    return {
        "samples": samples_of(tuple(m.samples)),
        "detail": detail,
        "contributions": tuple(contributions),
        "environment": plain(m.environment, f"the environment of {m.metric}"),
        "files": plain(m.files, f"the list of files of {m.metric}"),
    }


def _environment(m: Measurement) -> dict[str, Any]:
    """The environment, or why it cannot be stored."""
    try:
        return dict(plain(m.environment, "the environment"))
    except EncodingError as problem:
        return {"error": error_text(str(problem))}


GROUPS = ("units", "curves", "samples", "summaries")


def storable_evaluation(evaluation: Evaluation) -> Evaluation:
    """The evaluation as the store can hold it. Raises EncodingError with what of it cannot be stored."""
    what = f"the evaluation of {evaluation.task}"
    for name, array in _arrays(evaluation):
        if problem := _array_problem(array):
            raise EncodingError(f"{what} cannot be stored: {name} {problem}")
    lengths = {name: len(values) for name, values in evaluation.curves.items()}
    if len(set(lengths.values())) > 1:
        raise EncodingError(f"{what} cannot be stored: its curves have different lengths ({_listed(lengths)})")
    size = sum(array.nbytes for _, array in _arrays(evaluation))
    if size > ARRAYS_LIMIT:
        raise EncodingError(f"{what} cannot be stored: its arrays have {size:,} bytes, of at most {ARRAYS_LIMIT:,}")
    facts = plain(evaluation.facts, f"the facts of {what}")
    json_text(facts, f"the facts of {what}", FACTS_LIMIT)
    names = tuple(plain(tuple(evaluation.names), f"the names of {what}"))
    return replace(evaluation, facts=facts, names=names)


def _arrays(evaluation: Evaluation) -> Iterator[tuple[str, Any]]:
    for group in GROUPS:
        for name, array in getattr(evaluation, group).items():
            yield f"{group}['{name}']", array


def _array_problem(array: Any) -> str:
    dtype: Any = getattr(array, "dtype", None)
    if not hasattr(array, "nbytes") or not hasattr(dtype, "kind"):
        return f"is of type {type(array).__name__}; make it a numpy array"
    return f"is an array of {dtype}; make it one of numbers" if dtype.kind not in "biufcSU" else ""


def _listed(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {length}" for name, length in lengths.items())
