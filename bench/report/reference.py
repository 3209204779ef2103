"""The reference of everything that is registered, as Markdown: `bench list --markdown` writes `docs/reference.md`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from bench.registry import Architecture, Axis, Dataset, Entry, Metric, Plot, Registries, Task, text_of
from bench.registry.catalogue import declarations
from bench.report.table import markdown_text
from bench.spec.recipe import Recipe

HEAD = """# Reference

Everything that is registered, by kind. `bench list --markdown` writes this page from the declarations; CI checks that
it is up to date. Words such as MAC and receptive field are explained in [definitions](definitions.md).

[Architectures](#architectures) · [Metrics](#metrics) · [Tasks](#tasks) · [Datasets](#datasets) · [Figures](#figures) ·
[Ablations](#ablations) · [Training](#training) · [Commands](#commands)
"""
E = TypeVar("E", bound=Entry)

KINDS = {
    "static": "read from the structure of the network, without training",
    "speed": "timed or measured on a device",
    "accuracy": "computed from the evaluation of a trained network",
}


@dataclass(frozen=True)
class Command:
    """A command as its help shows it; `options` are (text as it is typed, help)."""

    name: str
    usage: str
    help: str
    options: tuple[tuple[str, str], ...]


def reference(
    ablations: Iterable[tuple[str, str]], commands: Iterable[Command] = (), plugins: Sequence[str] = ()
) -> str:
    """The page. `ablations` are (name, question) in order. Imports no module that registers something."""
    sections = (_sections(declarations(tuple(plugins))), _ablations(ablations), _recipe(), _commands(commands))
    return "\n".join([HEAD, *chain.from_iterable(sections)]).rstrip() + "\n"


def _sections(registries: Registries) -> Iterator[str]:
    yield from _section("Architectures", registries.architectures, _architecture)
    yield "## Metrics\n"
    for kind, meaning in KINDS.items():
        yield f"### Kind `{kind}`: {meaning}\n"
        yield from (_metric(metric) for metric in registries.metrics if metric.kind == kind)
    yield from _section("Tasks", registries.tasks, _task)
    yield from _section("Datasets", registries.datasets, _dataset)
    yield from _section("Figures", registries.plots, _plot)


def _section(title: str, entries: Iterable[E], one: Callable[[E], str]) -> Iterator[str]:
    yield f"## {title}\n"
    yield from (one(entry) for entry in entries)


def _architecture(entry: Architecture) -> str:
    lines = [f"### `{entry.name}`\n", _text(entry), f"Task `{entry.task}`. Source: {_line(entry.source)}.\n"]
    return "\n".join([*lines, *_axes(entry.axes), *_constraints(entry)])


def _constraints(entry: Architecture) -> Iterator[str]:
    for constraint in entry.constraints:
        when = ", ".join(f"{axis}={_values(value)}" for axis, value in constraint.when.items())
        yield f"Not with `{when}`: {_line(constraint.because)}.\n"


def _values(value: object) -> str:
    return " or ".join(text_of(each) for each in value) if isinstance(value, (tuple, list)) else text_of(value)


def _metric(entry: Metric) -> str:
    better = f"{entry.better} is better" if entry.better else "neither direction is better"
    tasks = ", ".join(f"`{task}`" for task in entry.tasks)
    facts = [f"Unit: {entry.unit}" if entry.unit else "No unit", better, f"task {tasks}" if tasks else "every task"]
    facts += ["jackknife contributions of blocks of images"] if entry.reads_units else []
    facts += ["shared by variants with equal graphs"] if entry.of_graph else []
    title = f"#### `{entry.name}`" + (f": {_line(entry.display_name)}" if entry.display_name else "")
    return f"{title}\n\n{_text(entry)}\n{_line('; '.join(facts))}.\n"


def _task(entry: Task) -> str:
    files = f" Reads the files that {', '.join(f'`{name}`' for name in entry.files)} name." if entry.files else ""
    return f"### `{entry.name}`\n\n{_text(entry)}\nOne unit of the evaluation is one {entry.unit}.{files}\n"


def _dataset(entry: Dataset) -> str:
    place = "Embedded: drawn in memory." if entry.embedded else f"To get it: {_line(entry.get)}."
    needs = ", ".join(f"`{axis}={text_of(value)}`" for axis, value in entry.requires.items())
    lines = [f"### `{entry.name}`\n", _text(entry), f"Task `{entry.task}`. Licence: {_line(entry.licence)}. {place}"]
    lines += [f"Splits: {', '.join(entry.splits)}." + (f" Networks need {needs}." if needs else "") + "\n"]
    return "\n".join([*lines, f"Source: {_line(entry.source)}.\n", *_axes(entry.options)])


def _plot(entry: Plot) -> str:
    return f"### `{entry.name}`\n\n{_text(entry)}\nPlace in the report: {entry.order}.\n"


def _axes(axes: Sequence[Axis]) -> list[str]:
    if not axes:
        return []
    rows = [f"| `{a.name}` | {_line(a.accepts())} | {_default(a)} |" for a in axes]
    return ["| axis | values | default |", "| --- | --- | --- |", *rows, ""]


def _default(axis: Axis) -> str:
    return "needed" if axis.required else f"`{text_of(axis.default)}`" if text_of(axis.default) else ""


def _ablations(ablations: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "## Ablations\n\n| ablation | question |\n| --- | --- |"
    yield from (f"| [{name}](../ablations/{name}.yaml) | {_line(question)} |" for name, question in ablations)
    yield ""


def _recipe() -> Iterator[str]:
    yield "## Training\n\nThe keys of the section `train` of an ablation.\n"
    yield "| key | default | meaning |\n| --- | --- | --- |"
    for name, field in Recipe.model_fields.items():
        yield f"| `{name}` | `{text_of(field.default)}` | {_line(field.description or '')} |"


def _commands(commands: Iterable[Command]) -> Iterator[str]:
    yield "\n## Commands\n\nEvery command also has `--debug` (show the traceback of an error) and `--help`.\n"
    for command in commands:
        yield f"### `{command.name}`\n\n```text\n{command.usage}\n\n{command.help}\n```\n"
        if command.options:
            yield "| option | meaning |\n| --- | --- |"
            yield from (f"| `{text.replace('|', BAR)}` | {_line(meaning)} |" for text, meaning in command.options)
            yield ""


BAR = r"\|"


def _text(entry: Entry) -> str:
    """The docstring, line by line, with Markdown's signs escaped outside code; lists stay lists."""
    return "\n".join(_docstring_line(line) for line in (inspect.getdoc(entry.call) or "").splitlines()) + "\n"


def _docstring_line(line: str) -> str:
    indent, bullet, text = re.fullmatch(r"(\s*)(- |)(.*)", line).groups()  # type: ignore[union-attr]
    return indent + bullet + _line(text)


def _line(text: str) -> str:
    """One line of Markdown; what is between backticks stays code, other signs are escaped."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    """`markdown_text` that keeps the spaces at both ends."""
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return before + markdown_text(text) + after if text.strip() else text
