"""Odd words on the command line: an answer, or a message of a line or two; nothing is written by a command that reads."""

from __future__ import annotations

from pathlib import Path

import click
from damage import odd_texts
from fuzzing import bounded, contents, ran
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import bench

READING = ("list", "show", "plan", "table", "why", "compare", "gate", "export", "import", "data")
WORDS = ("smoke", "fcn", "params", "none.sqlite", "-", "--", "stride=32", "stride=", "1,2", "0", "--json", "--help")


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command that measures nothing, with some of its options and odd values for them and its arguments."""
    name = draw(st.sampled_from(READING))
    command = bench.commands[name]
    if isinstance(command, click.Group):
        sub = draw(st.sampled_from(sorted(command.commands)))
        return [name, sub, *draw(_words(command.commands[sub]))]
    return [name, *draw(_words(command))]


@st.composite
def _words(draw: st.DrawFn, command: click.Command) -> list[str]:
    words: list[str] = []
    options = [p for p in command.params if isinstance(p, click.Option) and p.name not in ("out", "to", "debug")]
    for option in draw(st.lists(st.sampled_from(options), max_size=2, unique=True)) if options else []:
        words.append(option.opts[-1])
        if not option.is_flag:
            words.append(draw(_word()))
    return [*words, *draw(st.lists(_word(), max_size=2))]


def _word() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(WORDS), odd_texts()).filter(lambda word: "\0" not in word)


@bounded
@given(words=command_lines().filter(lambda words: "--plugin" not in words))
def test_a_command_that_reads(empty: Path, words: list[str]) -> None:
    ran(*words)
    assert contents(empty) == {}
