"""Stored tracebacks say where in the project or a package, and nothing of a machine."""

from __future__ import annotations

import json

import pytest

from bench.sweep.tracebacks import stored_traceback, without_folders


def test_places_are_relative_and_what_led_to_an_error_is_kept():
    try:
        try:
            json.loads("{")
        except ValueError as cause:
            raise FileNotFoundError(2, "No such file", "/home/someone/data/a.png") from cause
    except OSError as error:
        text = stored_traceback(error)
    assert 'File "tests/bench/sweep/test_tracebacks.py", line' in text
    assert "json/decoder.py" in text
    assert "JSONDecodeError" in text
    assert ".../a.png" in text
    assert "/home/" not in text
    assert '"/' not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read '/home/x/a.png'", "cannot read '.../a.png'"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("a/b is 1/2 of c", "a/b is 1/2 of c"),
        ("bench/sweep/worker.py", "bench/sweep/worker.py"),
    ],
)
def test_only_folders_of_absolute_paths_are_left_out(text, shown):
    assert without_folders(text) == shown
