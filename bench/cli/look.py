"""Commands that print what is registered: list, show, data."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Shape, data_option, echo, json_option, plugin, print_json
from bench.registry.builtin import files

if TYPE_CHECKING:
    from bench.registry import Dataset, Entry
    from bench.report.reference import Command

KINDS = ("architectures", "ablations", "metrics", "tasks", "datasets")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@plugin
@json_option
@click.option("--markdown", is_flag=True, help="The reference page, docs/reference.md: axes, units, defaults, sources.")
def list_command(kind: str | None, plugins: tuple[str, ...], as_json: bool, markdown: bool) -> None:
    """List what is registered: all of it, or one kind."""
    if markdown:
        if kind or as_json:
            raise click.UsageError("--markdown writes the page of all kinds; give no kind and no --json")
        _print_reference(plugins)
        return
    rows = [row for each in ([kind] if kind else KINDS) for row in _listed(each, plugins)]
    if as_json:
        print_json(rows)
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for each in dict.fromkeys(row["kind"] for row in rows):
        echo(each, bold=True)
        for row in rows:
            if row["kind"] == each:
                echo(f"  {row['name']:{width}}  {row['summary']}")


def _print_reference(plugins: tuple[str, ...]) -> None:
    from bench.report.reference import reference

    ablations = [(row["name"], row["summary"]) for row in _listed("ablations", plugins)]
    root = click.get_current_context().find_root()
    echo(reference(ablations, [*_commands(root.command, "bench")], plugins), nl=False)


def _commands(command: click.Command, name: str) -> Iterator[Command]:
    """The command and its subcommands as the reference shows them, without groups that do nothing alone."""
    from bench.report.reference import Command

    if isinstance(command, click.Group):
        for part, each in sorted(command.commands.items()):
            yield from _commands(each, f"{name} {part}")
        if not command.invoke_without_command:
            return
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)]).replace("[OPTIONS] ", "").replace("[OPTIONS]", "")
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    options = [o for o in command.params if isinstance(o, click.Option) and o.name not in ("debug", "help")]
    records = [record for option in options if (record := option.get_help_record(context))]
    yield Command(name, usage.rstrip(), text, tuple(records))


def _listed(kind: str, plugins: tuple[str, ...]) -> list[dict[str, Any]]:
    if kind == "ablations":
        return [{"kind": kind, "name": f.stem, "summary": _question(f), "file": f.as_posix()} for f in files()]
    from bench.registry.catalogue import declarations

    entries: Iterable[Entry] = getattr(declarations(plugins), kind)
    return [{"kind": kind, "name": e.name, "summary": e.summary, **_properties(e)} for e in entries]


PROPERTIES = {
    **{name: name for name in ("task", "source", "unit", "better")},
    "kind": "metric_kind",
    **{name: name for name in ("tasks", "licence", "embedded")},
}
"""Attribute of a registered entry -> its key in JSON."""


def _properties(entry: Entry) -> dict[str, Any]:
    return {key: getattr(entry, name) for name, key in PROPERTIES.items() if hasattr(entry, name)}


def _question(file: Path) -> str:
    """The question of an ablation, read without a YAML parser, which takes long to import."""
    try:
        match = re.search(r"^question:\s*(.+?)\s*$", file.read_text("utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return "(cannot be read)"
    return match[1].strip("'\"") if match else ""


@click.command()
@click.argument("name")
@plugin
@json_option
def show(name: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """Show axes, source and published facts of NAME, which may also be timm:NAME, torchvision:NAME, smp:NAME or
    file.py:callable."""
    from bench.registry import RegistryError, suggestion
    from bench.registry.foreign import is_foreign
    from bench.registry.targets import declared

    if is_foreign(name):
        rows = [{"kind": "architectures", **_properties(declared(name, plugins)), "name": name}]
    else:
        rows = [row for kind in KINDS for row in _listed(kind, plugins)]
    if all(row["name"] != name for row in rows):
        raise RegistryError(f"nothing is called '{name}'{suggestion(name, [row['name'] for row in rows])}")
    for row in rows:
        if row["name"] != name:
            continue
        shown = _shown(row, plugins)
        print_json([shown]) if as_json else _print_shown(shown)


def _shown(row: dict[str, Any], plugins: tuple[str, ...]) -> dict[str, Any]:
    if row["kind"] == "ablations":
        return {**row, "text": Path(row["file"]).read_text("utf-8")}
    from bench.registry import text_of
    from bench.registry.catalogue import declarations
    from bench.registry.foreign import Foreign, is_foreign
    from bench.registry.targets import declared

    name = row["name"]
    entry = declared(name, plugins) if is_foreign(name) else getattr(declarations(plugins), row["kind"]).get(name)
    unknown = "the library's" if isinstance(entry, Foreign) else None
    axes = [
        {"axis": a.name, "takes": a.accepts(), "default": unknown if a.required else text_of(a.default)}
        for a in getattr(entry, "options", entry.axes)
    ]
    facts = [
        {"quantity": f.quantity, "value": f.value, "when": dict(f.when), "source": f.source, **_details(f)}
        for f in getattr(entry, "facts", ())
    ]
    pattern = re.compile(rf"\b{re.escape(entry.name)}\b")
    users = [file.stem for file in files() if pattern.search(_without_comments(file))]
    return {**row, "module": entry.module, "axes": axes, "facts": facts, "ablations": users}


def _details(fact: Any) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in ("printed", "shape", "convention", "disputed", "note")}


def _without_comments(file: Path) -> str:
    return re.sub(r"^question:.*$|#.*$", "", file.read_text("utf-8", errors="replace"), flags=re.MULTILINE)


def _print_shown(shown: Mapping[str, Any]) -> None:
    echo(f"{shown['name']}  ({shown['kind'].rstrip('s')})", bold=True)
    for key, value in shown.items():
        if key in ("name", "kind") or value in (None, "", [], ()):
            continue
        if isinstance(value, list) and isinstance(value[0], dict):
            echo(f"{key}:")
            for row in value:
                echo("  " + _columns(row))
        elif key == "text":
            echo(value.rstrip())
        else:
            echo(f"{key}: {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}")


def _columns(row: Mapping[str, Any]) -> str:
    if "axis" in row:
        default = "needed" if row["default"] is None else f"default {row['default'] or 'empty'}"
        return f"{row['axis']:16} {row['takes']}  ({default})"
    when = ", ".join(f"{k}={v}" for k, v in row["when"].items())
    counted = f"{row['quantity']} ({row['convention']})" if row["convention"] else row["quantity"]
    doubt = "  (disputed)" if row["disputed"] else ""
    return f"{counted:24} {row['printed']:>14}  {when:38} {row['source']}{doubt}"


@click.group()
def data() -> None:
    """List datasets, their folders, and how to get them."""


@data.command("list")
@plugin
@json_option
def data_list(plugins: tuple[str, ...], as_json: bool) -> None:
    """List the datasets."""
    rows = _listed("datasets", plugins)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        echo(f"{row['name']:16} {row['task']:14} {'embedded' if row['embedded'] else row['licence']}")


@data.command("path")
@click.argument("name")
@plugin
@data_option
def data_path(name: str, plugins: tuple[str, ...], data: Path | None) -> None:
    """Print the folders that are searched for the files of NAME."""
    from bench.data.locate import locations
    from bench.registry.catalogue import declarations, live

    entry = live(declarations(plugins).datasets.get(name), plugins)
    if entry.embedded:
        echo(f"{name} is generated in memory; it has no files")
    elif data is None:
        raise click.ClickException(
            "name the folder of datasets: --data DIR, FOVBENCH_DATA, or data in the project file"
        )
    else:
        for path in locations(entry, data):
            echo(f"{path}  {'exists' if path.is_dir() else 'does not exist'}")


@data.command("check")
@click.argument("name")
@click.argument("axes", nargs=-1, metavar="[AXIS=VALUE]...")
@plugin
@data_option
@click.option("--split", "splits", multiple=True, help="Only this split (repeatable).")
@click.option("--shape", type=Shape(), default="3,64,64", show_default=True, help="Size of the examples.")
def data_check(
    name: str,
    axes: tuple[str, ...],
    plugins: tuple[str, ...],
    data: Path | None,
    splits: tuple[str, ...],
    shape: tuple[int, ...],
) -> None:
    """Read every example of NAME, and print how many there are and what is left out.

    AXIS=VALUE are options of the dataset: path=my_folder classes=3. A file that cannot be used is an error, which
    names it."""
    from bench.registry import RegistryError
    from bench.registry.catalogue import declarations, live
    from bench.sweep.adhoc import stated_axes

    if len(shape) != 3:
        raise click.UsageError("--shape is channels, height, width: 3,64,64")
    entry = live(declarations(plugins).datasets.get(name), plugins)
    values = entry.resolve(stated_axes(axes))
    for split in splits:
        if split not in entry.splits:
            raise RegistryError(f"'{name}' has the splits {', '.join(entry.splits)}, not '{split}'")
    for split in splits or entry.splits:
        _check_split(entry, data, split, shape, values)


def _check_split(
    entry: Dataset, data: Path | None, split: str, shape: tuple[int, ...], values: Mapping[str, Any]
) -> None:
    """Read the files and the examples of a split as a run does, and print how many there are."""
    from bench.data.locate import files_of
    from bench.data.subset import own_axes
    from bench.sweep.plugin_checks import check_files, load

    check_files(entry)
    if not entry.embedded:
        files_of(entry, data, split, own_axes(values))
    loaded = load(entry, data, split, shape=shape, **values)
    echo(f"{split}: {len(loaded):,} examples")
    for reason, count in loaded.left_out.items():
        echo(f"  left out: {count:,} {reason}")


@data.command("get")
@click.argument("name")
@plugin
def data_get(name: str, plugins: tuple[str, ...]) -> None:
    """Print how to get NAME, and its licence. Downloads nothing."""
    from bench.registry.catalogue import declarations

    entry = declarations(plugins).datasets.get(name)
    echo(f"{name}: {entry.summary}\nsource: {entry.source}\nlicence: {entry.licence}")
    echo("embedded: nothing to get" if entry.embedded else f"to get it: {entry.get}")
