"""A disk that is full or faulty is a fault of the machine: nothing is stored of what it makes fail."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from bench.spec.ablation import load
from bench.sweep.executors import WorkerError
from bench.sweep.executors.disk import HINT, disk_fault

FULL = OSError(errno.ENOSPC, "No space left on device", "/tmp/a")


def led_by(error: Exception, cause: BaseException | None = None, context: BaseException | None = None) -> Exception:
    error.__context__ = context
    if cause is not None:
        error.__cause__ = cause
    return error


def hiding(error: Exception) -> Exception:
    """As `raise error from None` where FULL is handled."""
    hidden = led_by(error, context=FULL)
    hidden.__suppress_context__ = True
    return hidden


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FULL, "OSError: [Errno 28] No space left on device: '/tmp/a'"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "OSError: [Errno 122] Disk quota exceeded"),
        (OSError(errno.EFBIG, "File too large"), "OSError: [Errno 27] File too large"),
        (OSError(errno.EIO, "Input/output error"), "OSError: [Errno 5] Input/output error"),
        (sqlite3.OperationalError("database or disk is full"), "OperationalError: database or disk is full"),
        (led_by(ValueError("no cache"), cause=FULL), "OSError: [Errno 28] No space left on device: '/tmp/a'"),
        (led_by(KeyError("cleaning up"), context=FULL), "OSError: [Errno 28] No space left on device: '/tmp/a'"),
        (
            RuntimeError("Caught OSError in DataLoader worker process 0.\nOSError: [Errno 28] No space left on device"),
            "RuntimeError: OSError: [Errno 28] No space left on device",
        ),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that"),
            "RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_full_disk_raises_says_so(error: Exception, text: str) -> None:
    number = f"[Errno {getattr(error, 'errno', None)}]"
    text = text.replace("[Errno 122]", number) if "quota" in text else text
    assert disk_fault(error) == f"failed: a disk is full or faulty ({text}); {HINT}"


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file"), PermissionError(errno.EACCES, "denied"), ValueError("full"),
        OSError("no number"), MemoryError(), hiding(ValueError("the file is not an image")),
    ],
    ids=repr,
)  # fmt: skip
def test_other_errors_are_results_of_the_network(error: Exception) -> None:
    assert disk_fault(error) == ""


def test_errors_that_lead_to_each_other_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert disk_fault(one) == ""


PLUGIN = """
import os
from pathlib import Path
from bench.registry import architecture, metric

@architecture(task="none", source="nobody")
def plain(*, a: int = 0):
    "A number; building two of them writes a file."
    if a == 2 and {where!r} == "architecture":
        write()
    return a

@metric(unit="", better="lower", kind="static")
def twice(subject):
    "Writes a file for one network."
    a = subject.build()
    if a == 2 and {where!r} == "metric":
        write()
    return 2 * a

def write():
    with open({file!r}, "w") as file:
        file.write("x")
"""
TEXT = "question: q\narchitecture: plain\nmetrics: [twice]\ngrid: {a: [1, 2, 3]}\n"


@pytest.mark.parametrize("where", ["metric", "architecture"])
def test_a_full_disk_ends_a_local_run_and_the_same_command_goes_on(tmp_path, store, run, where: str) -> None:
    """`/dev/full` stands for the file; what the run could measure is stored, and nothing as failed."""
    plugin, link, file = tmp_path / "plugin.py", tmp_path / "file", tmp_path / "a.yaml"
    plugin.write_text(PLUGIN.format(file=str(link), where=where))
    file.write_text(TEXT)
    link.symlink_to("/dev/full")
    with pytest.raises(WorkerError, match=r"10 times in a row, last that of plain\(a=2\).*a disk is full or faulty"):
        run(load(file, (), (str(plugin),)))
    assert all(record.measurement.error is None for record in store.records())
    link.unlink()
    link.write_text("")
    _, outcome = run(load(file, (), (str(plugin),)))
    assert (outcome.failed, outcome.left) == (0, 0)
    assert {r.measurement.variant.name: r.measurement.value for r in store.records()} == {
        f"plain(a={a})": 2 * a for a in range(4)
    }
