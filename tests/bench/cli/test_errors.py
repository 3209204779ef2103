"""Every exception of every command is one or two plain lines and exit status 2; the traceback only on request."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import click
import pytest

import bench.cli as cli
from bench.cli import errors, main
from bench.registry import RegistryError

ROOT = Path(__file__).parents[3]


def commands(group: click.Group = cli.bench, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    pairs: dict[tuple[str, ...], click.Command] = {}
    for name, command in group.commands.items():
        pairs |= commands(command, (*prefix, name)) if isinstance(command, click.Group) else {(*prefix, name): command}
    return pairs


COMMANDS = commands()


class OddBase(BaseException):
    """Some libraries raise what is no Exception."""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command that raises `error`; gives the exit status and the text on stderr."""
    monkeypatch.delenv("FOVBENCH_DEBUG", raising=False)

    def failing(error: BaseException, name: tuple[str, ...] = ("list",), *arguments: str) -> tuple[int, str]:
        def fail(**_: object) -> None:
            raise error

        monkeypatch.setattr(COMMANDS[name], "callback", fail)
        monkeypatch.setattr(COMMANDS[name], "params", [p for p in COMMANDS[name].params if p.name == "debug"])
        with pytest.raises(SystemExit) as end:
            main([*name, *arguments])
        printed = capsys.readouterr()
        assert printed.out == ""
        return end.value.code, printed.err.strip("\n")

    return failing


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("the file is empty"), "the file is empty"),
        (RuntimeError("no GPU here"), "no GPU here"),
        (RegistryError("no metric is called 'x'"), "no metric is called 'x'"),
        (click.ClickException("name a folder"), "name a folder"),
        (FileNotFoundError(2, "No such file or directory", "a.yaml"), "a.yaml: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (KeyError("miou"), "KeyError: miou (unexpected; --debug shows where)"),
        (IndexError("list index out of range"), "IndexError: list index out of range (unexpected; --debug shows where)"),
        (TypeError("'int' object is not iterable"), "TypeError: 'int' object is not iterable (unexpected; --debug shows where)"),
        (AssertionError(), "AssertionError (unexpected; --debug shows where)"),
        (ValueError(), "ValueError (unexpected; --debug shows where)"),
        (sqlite3.OperationalError("disk I/O error"), "OperationalError: disk I/O error (unexpected; --debug shows where)"),
        (zlib.error("invalid block type"), "error: invalid block type (unexpected; --debug shows where)"),
        (MemoryError(), "MemoryError (unexpected; --debug shows where)"),
        (RecursionError("maximum recursion depth exceeded"), "RecursionError: maximum recursion depth exceeded (unexpected; --debug shows where)"),
        (EOFError("compressed file ended"), "EOFError: compressed file ended (unexpected; --debug shows where)"),
        (ModuleNotFoundError("No module named 'torch'"), "ModuleNotFoundError: No module named 'torch' (unexpected; --debug shows where)"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte (unexpected; --debug shows where)"),
        (ExceptionGroup("two faults", [ValueError("a"), TypeError("b")]), "ExceptionGroup: two faults (2 sub-exceptions) (unexpected; --debug shows where)"),
        (OddBase("panic"), "OddBase: panic (unexpected; --debug shows where)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)  # fmt: skip
def test_an_exception_is_one_line_and_exit_status_2(failing, error, line):
    assert failing(error) == (2, f"error: {line}")


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_shows_a_line_and_its_traceback_with_debug(failing, name):
    status, text = failing(TypeError("odd"), name)
    assert (status, text) == (2, "error: TypeError: odd (unexpected; --debug shows where)")
    status, text = failing(TypeError("odd"), name, "--debug")
    assert status == 2
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("error: TypeError: odd (unexpected; --debug shows where)")


@pytest.mark.parametrize(
    ("value", "shown"), [("1", True), ("yes", True), ("", False), ("0", False), ("false", False), ("No", False)]
)
def test_the_environment_requests_tracebacks_too(failing, monkeypatch, value, shown):
    monkeypatch.setenv("FOVBENCH_DEBUG", value)
    status, text = failing(ValueError("odd"))
    assert status == 2
    assert ("Traceback" in text) is shown


def test_debug_before_the_command_works_too(capsys):
    with pytest.raises(SystemExit):
        main(["--debug", "show", "nothing"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.exceptions.Abort()])
def test_ctrl_c_is_exit_status_130(failing, error):
    status, text = failing(error)
    assert status == 130
    assert text.endswith("interrupted; all results so far are stored: run the same command again to go on")


@pytest.mark.parametrize("code", [0, 1, 4, 5])
def test_the_exit_status_of_a_command_stays(failing, code):
    assert failing(SystemExit(code)) == (code, "")


def test_a_usage_error_is_the_usage_and_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        main(["data", "path", "--debug"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "Usage: bench data path [OPTIONS] NAME\nerror: Missing argument 'NAME'.\n"


@pytest.mark.parametrize("group", ["data", "store"])
def test_a_group_without_a_command_prints_its_help_once(group, capsys):
    with pytest.raises(SystemExit) as ended:
        main([group])
    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert shown.count("Usage:") == 1
    assert "Commands:" in shown
    assert "error" not in shown.replace("traceback of an error", "")


def test_long_texts_are_cut_and_control_characters_escaped(failing):
    _, text = failing(ValueError("\x1b[31mred\x00\u202e"))
    assert text == "error: \\x1b[31mred\\x00\\u202e"
    _, text = failing(ValueError("a\nb\nc\nd"))
    assert text == "error: a\nb"
    _, text = failing(ValueError("x" * 20_000_000))
    assert len(text) == len("error: ") + errors.MAX_CHARACTERS


UNINSTALLED = """
import importlib.metadata as metadata, sys
original = metadata.Distribution.from_name.__func__
def from_name(kind, name):
    if name == "fovbench":
        raise metadata.PackageNotFoundError(name)
    return original(kind, name)
metadata.Distribution.from_name = classmethod(from_name)
from bench.cli import main
if __name__ == "__main__":
    main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--version"], "bench, version "),
        (["--help"], "Which part of a network earns its keep?"),
        (["list", "ablations"], "fcn_skips"),
        (["plan", "smoke", "--only", "params"], "3 due"),
        (["measure", "fcn", "--metrics", "params", "--shape", "3,64,64"], "params"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_commands_run_from_a_checkout_that_is_not_installed(tmp_path, arguments, text):
    script = tmp_path / "uninstalled.py"
    script.write_text(UNINSTALLED)
    store = ["--store", str(tmp_path / "store.sqlite")] if arguments[0] == "plan" else []
    command = [sys.executable, str(script), *arguments, *store]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert text in done.stdout
    assert "Traceback" not in done.stderr


class UnshowableError(ValueError):
    def __str__(self) -> str:
        raise TypeError("no text")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UnshowableError(), "UnshowableError: its text cannot be shown (TypeError) (unexpected; --debug shows where)"),
        (ValueError("a\ud800b"), "a\\ud800b"),
        (ValueError("\n\n  deep  \n"), "deep"),
        (KeyError(("a", 1)), "KeyError: ('a', 1) (unexpected; --debug shows where)"),
        (OSError("odd"), "odd"),
        (BrokenPipeError(32, "Broken pipe"), "Broken pipe"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_exception_with_an_odd_text_is_one_line_too(failing, error, line):
    assert failing(error) == (2, f"error: {line}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["table", "URL"],
        ["table", "URL", "--debug"],
        ["compare", "URL", "URL"],
        ["import", "URL"],
        ["table", "smoke", "--from", "URL"],
        ["plan", "smoke", "--data", "URL"],
        ["plan", "smoke", "--store", "URL", "--stor", "x"],
        ["show", "URL", "--debug"],
        ["run", "smoke", "--plugin", "URL", "--debug"],
        ["run", "smoke", "--set", "URL"],
        ["plan", "smoke", "--only", "URL"],
    ],
)
def test_the_password_of_a_url_that_stands_in_a_wrong_place_is_not_printed(arguments, capsys):
    """A person who mixes up two arguments must not find the password of the store in a log."""
    url = "postgresql://user:s3cr3tw0rd@127.0.0.1:1/results"
    with pytest.raises(SystemExit) as ended:
        main([url if each == "URL" else each for each in arguments])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert "s3cr3tw0rd" not in out + err
    assert "error:" in err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no postgresql://me:pw@host/db here", "no postgresql://me:***@host/db here"),
        ("postgresql:/me:p/w@host/db", "postgresql:/me:***@host/db"),
        ("postgresql://:pw@host", "postgresql://:***@host"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("https://host/a:b and you@home", "https://host/a:b and you@home"),
        ("a.yaml:5:3: fcn@v1", "a.yaml:5:3: fcn@v1"),
    ],
)
def test_only_passwords_of_urls_become_stars(text, shown):
    assert errors.without_passwords(text) == shown
