"""Whether torch itself is what failed: a fault of the machine, and no result of a network or metric."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from bench.sweep.executors import WorkerError


def refuse_broken_torch(error: BaseException) -> None:
    """Raises WorkerError where an import failed since torch, which is not imported yet, cannot be."""
    if hasattr(sys.modules.get("torch"), "Tensor") or not any(
        isinstance(e, (ImportError, OSError)) for e in _led(error)
    ):
        return
    try:
        import torch  # noqa: F401
    except Exception as fault:
        reason = next(iter(str(fault).splitlines()), "")
        raise WorkerError(f"torch cannot be imported ({type(fault).__name__}: {reason}): install it anew") from error


def _led(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that led to it."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__
