"""Whether a disk is what failed: a fault of the machine, and no result of a network or metric."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of the system: the disk is full, a quota is, a file is as large as `ulimit -f` allows, the disk is faulty."""

TEXTS = re.compile(
    r"No space left on device|Disk quota exceeded|database or disk is full|killed by signal: Bus error"
    r"|PytorchStreamWriter failed writing file"
)
"""What libraries say that raise an error of their own for it; a process of a DataLoader dies where /dev/shm is full."""

HINT = "free space there, or set TMPDIR to a folder on another disk"


def disk_fault(error: BaseException) -> str:
    """The error of a job that a disk ended, with what would have worked; empty for every other exception."""
    led = list(_led(error))
    first = next((each for each in reversed(led) if _is_of_disk(each)), None)
    return f"failed: a disk is full or faulty ({type(first).__name__}: {_line(first)}); {HINT}" if first else ""


def refuse_disk_fault(error: BaseException) -> None:
    """Raises the error where a disk is what failed: the job ends with it, and nothing is stored."""
    if disk_fault(error):
        raise error


def _led(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that led to it, as far as it does not hide them."""
    each: BaseException | None = error
    earlier: list[BaseException] = []
    while each is not None and each not in earlier:
        yield each
        earlier.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _is_of_disk(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in NUMBERS) or TEXTS.search(_text(error)) is not None


def _line(error: BaseException) -> str:
    lines = [line for line in _text(error).splitlines() if line.strip()]
    return next((line for line in lines if TEXTS.search(line)), lines[0] if lines else "").strip()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the text is made by foreign code
        return ""
