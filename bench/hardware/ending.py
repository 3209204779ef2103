"""The end of this process, where a library in it would wait for ever or crash when Python ends."""

from __future__ import annotations

import os
import sys
import threading

_at_once = threading.Event()


def end_at_once() -> None:
    """Ask for an end of this process that runs nothing any more, once its work is done."""
    _at_once.set()


def ended(status: object) -> None:
    """End this process with the status of a SystemExit, where that was asked for; else nothing."""
    if _at_once.is_set():
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status if isinstance(status, int) else 0 if status is None else 1)
