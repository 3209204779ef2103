"""A plug-in for tests of the harness: architectures and metrics that cost nothing and need no torch."""

import os
import signal
import time
from typing import Annotated, Literal

from bench.registry import Bounds, Constraint, architecture, metric

SIZES = (1, 2, 3)


@architecture(
    task="none",
    source="nobody",
    constraints=(Constraint(when={"a": 7, "mode": "odd"}, because="seven is no mode"),),
)
def trivial(
    *,
    a: Annotated[int, Bounds(0, 100000)] = 0,
    b: float = 0.5,
    mode: Literal["even", "odd"] = "even",
    sizes: tuple[int, ...] = SIZES,
    flag: bool = False,
):
    """Two numbers and a mode."""
    return {"a": a, "b": b, "mode": mode, "sizes": sizes, "flag": flag}


@metric(unit="px", better="lower", kind="static")
def twice(subject):
    """Twice a."""
    return 2 * subject.build()["a"]


@metric(unit="px", better="higher", kind="static")
def deadly(subject):
    """a, unless a is 3 (the process dies), 4 (raises), 5 (hangs) or 6 (out of memory)."""
    a = subject.build()["a"]
    if a == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if a == 4:
        raise ValueError("four is right out\nand more of it")
    if a == 5:
        time.sleep(60)
    if a == 6:
        raise MemoryError
    return a


@metric(unit="s", better="lower", kind="speed")
def pulse(subject):
    """Writes when it began and ended to $PULSE, so that a test can see what overlapped."""
    with open(os.environ["PULSE"], "a") as file:
        file.write(f"+ {subject.build()['a']} {time.monotonic()}\n")
        file.flush()
        time.sleep(0.05)
        file.write(f"- {subject.build()['a']} {time.monotonic()}\n")
    return [0.1, 0.2, 0.3]


@metric(unit="", better="higher", kind="static", tasks=("segmentation",))
def elsewhere(subject):
    """Fits segmentation only."""
    return 1
