"""A plug-in for tests of the harness: architectures and metrics that cost nothing and need no torch."""

import os
import signal
import time
from typing import Annotated, Literal

from bench.registry import Bounds, Constraint, architecture, metric
from bench.results.measurement import Reading

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
    log: str = "",
):
    """Two numbers and a mode."""
    return {"a": a, "b": b, "mode": mode, "sizes": sizes, "flag": flag, "log": log}


@metric(unit="px", better="lower", kind="static")
def twice(subject):
    """Twice a."""
    return 2 * subject.build()["a"]


@metric(unit="px", better="higher", kind="static")
def deadly(subject):
    """a, unless a is 2 (killed), 3 (the process dies), 4 (raises), 5 (hangs) or 6 (out of memory)."""
    a = subject.build()["a"]
    if a == 2:
        os.kill(os.getpid(), signal.SIGKILL)
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
    """Writes to the file `log` when it began and ended, so that a test can see what overlapped."""
    built = subject.build()
    with open(built["log"], "a") as file:
        print("+", built["a"], file=file, flush=True)
        time.sleep(0.05)
        print("-", built["a"], file=file)
    return [0.1, 0.2, 0.3]


@metric(unit="", better="higher", kind="static", tasks=("segmentation",))
def elsewhere(subject):
    """Fits segmentation only."""
    return 1


@metric(unit="", better="lower", kind="static")
def odd_result(subject):
    """NaN at a = 1, a detail that is no JSON at a = 2, words at a = 3, else two numbers."""
    a = subject.build()["a"]
    if a == 1:
        return float("nan")
    if a == 2:
        return Reading(1, {"what": object()})
    return "many" if a == 3 else [a, a + 1]


@metric(unit="", better=None, kind="static")
def forking(subject):
    """Leaves a child behind that holds everything open, then dies."""
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSEGV)


@metric(unit="", better=None, kind="static")
def slow(subject):
    """Three times a, after ten milliseconds: so slow that a sweep can be watched while it runs."""
    time.sleep(0.01)
    return 3 * subject.build()["a"]
