"""The standard streams of this process."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """Open the null device in place of each standard stream that is closed.

    A file that is opened later must not get its number, and libraries and child processes expect all three.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r+", encoding="utf-8", closefd=False))  # noqa: SIM115 - until the end
