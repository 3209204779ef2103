"""How far latencies of the same model from fresh processes lie apart: ours, timm's way, torch's way, in turn.

A row of ten processes each, taking turns, one thread, the same model on the same input. Ours is the command
`bench measure ... --metrics latency --json`. timm's benchmark script is not in its wheel, so its way is written
plainly here: 10 calls to warm up, 40 calls timed, their mean. torch's is `torch.utils.benchmark.Timer` with
`blocked_autorange`, for as long as ours may take (3 s), its median. Printed: the largest over the smallest of the
ten. Run it on a machine that does nothing else; SPREAD_ROUNDS sets how many processes of each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

ROUNDS = int(os.environ.get("SPREAD_ROUNDS", "10"))
MODEL, SIDE = "resnet18", 96

SETUP = f"""
import timm, torch
torch.set_num_threads(1)
torch.manual_seed(0)
model = timm.create_model("{MODEL}", pretrained=False).eval()
x = torch.randn(1, 3, {SIDE}, {SIDE}, generator=torch.Generator().manual_seed(0))
"""
TIMM = (
    SETUP
    + """
import time
with torch.no_grad():
    for _ in range(10):
        model(x)
    start = time.perf_counter()
    for _ in range(40):
        model(x)
    print(1e3 * (time.perf_counter() - start) / 40)
"""
)
TORCH = (
    SETUP
    + """
from torch.utils.benchmark import Timer
with torch.inference_mode():
    timing = Timer("model(x)", globals={"model": model, "x": x}, num_threads=1).blocked_autorange(min_run_time=3.0)
print(1e3 * timing.median)
"""
)
OURS = ["-m", "bench.cli", "measure", f"timm:{MODEL}", "--shape", f"3,{SIDE},{SIDE}", "--metrics", "latency", "--json"]


def run(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ours() -> dict[str, float]:
    row = json.loads(run(OURS))
    return {"bench measure": row["value"], "bench measure, low quantile": row["detail"]["low_ms"]}


WAYS = {
    "ours": ours,
    "timm": lambda: {"timm's way": float(run(["-c", TIMM]))},
    "torch": lambda: {"torch.utils.benchmark": float(run(["-c", TORCH]))},
}


def spread(values: list[float]) -> float:
    return max(values) / min(values)


@pytest.mark.skipif(ROUNDS < 2, reason="a spread needs two processes")
def test_how_far_medians_of_fresh_processes_lie_apart() -> None:
    values: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for _ in range(ROUNDS):
        for way, measure in WAYS.items():
            start = time.perf_counter()
            for name, value in measure().items():
                values.setdefault(name, []).append(value)
            seconds[way] = seconds.get(way, 0.0) + time.perf_counter() - start
    for name, times in values.items():
        print(f"\n{name:28} max/min {spread(times):.3f}  ({min(times):.2f} to {max(times):.2f} ms)", end="")
    print("\nseconds a process: " + ", ".join(f"{way} {total / ROUNDS:.1f}" for way, total in seconds.items()))
