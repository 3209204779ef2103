"""One part of `python -m tests.gpu`, in a process of its own; prints each row as a line of JSON when it is measured.

A row has a `name`, and a `value` with its `unit`, or None with the `reason`. Where something is required of the value,
`requirement` says it and `holds` whether it does.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """The device, and whether only the script itself is tried."""

    device: str
    quick: bool

    @property
    def on_cpu(self) -> bool:
        """Whether the parts of a device with a queue do not apply."""
        return self.device == "cpu"


def row(name: str, value: object, unit: str = "", requirement: str = "", holds: bool | None = None) -> Row:
    """A row; with a requirement where there is one."""
    required = {"requirement": requirement, "holds": holds} if requirement else {}
    return {"name": name, "value": value, "unit": unit, **required}


def without(name: str, reason: str) -> Row:
    """A row without a value."""
    return {"name": name, "value": None, "reason": reason}


def attempt(name: str, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows of one measurement, which its generator makes; where it fails, one that says why."""
    try:
        yield from rows
    except Exception as error:
        yield {**without(name, f"{type(error).__name__}: {error}"[:300]), "requirement": "runs", "holds": False}


def facts(setting: Setting) -> Iterator[Row]:
    """The device, its driver and the libraries."""
    from bench.hardware.environment import snapshot

    facts_here = snapshot(setting.device)
    versions = facts_here.pop("versions")
    for name, value in {**facts_here, **versions}.items():
        yield row(name, str(value))


def times(setting: Setting) -> Iterator[Row]:
    """Each kind of time in five fresh processes: the median, and how far they lie apart (largest over smallest)."""
    small = [("resnet18", 64, 1)]
    for model, side, batch in small if setting.quick else [("resnet50", 224, 1), ("resnet50", 224, 32)]:
        name = f"{model}, batch {batch}"
        yield from attempt(name, of_processes(name, processes(setting, model, side, batch)))


def processes(setting: Setting, model: str, side: int, batch: int) -> Iterator[dict[str, Any]]:
    """The outcomes of several processes, one after the other."""
    rounds, seconds = (2, 0.2) if setting.quick else (5, 0.7)
    for turn in range(rounds):
        yield one_process(model, side, batch, setting.device, seconds, turn)


def one_process(model: str, side: int, batch: int, device: str, seconds: float, turn: int) -> dict[str, Any]:
    """What tests.gpu.one_process prints. Raises RuntimeError with its last line where it fails."""
    arguments = [str(each) for each in (model, side, batch, device, seconds, turn)]
    done = subprocess.run([sys.executable, "-m", "tests.gpu.one_process", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1])
    outcome: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return outcome


def of_processes(name: str, each_process: Iterator[dict[str, Any]]) -> Iterator[Row]:
    """Rows of the outcomes of several processes."""
    outcomes = list(each_process)
    spreads: dict[str, float] = {}
    for kind, pick in KINDS.items():
        values = [pick(each) for each in outcomes]
        if any(not isinstance(value, float) for value in values):
            yield without(f"{name}: {kind}", next(str(v) for v in values if not isinstance(v, float)))
            continue
        spreads[kind] = max(values) / min(values)
        yield row(f"{name}: {kind}", median(values), "ms")
        yield row(f"{name}: {kind}, spread", spreads[kind], "", *narrow(kind, spreads[kind]))
    others = [spreads[kind] for kind in ("timm's way", "torch.utils.benchmark", "Triton's do_bench") if kind in spreads]
    if others and "elapsed" in spreads:
        best = min(others)
        yield row(f"{name}: best spread of the others", best, "", "elapsed is no worse", spreads["elapsed"] <= best)
    yield from bounds(name, outcomes)


def narrow(kind: str, spread: float) -> tuple[str, bool] | tuple[()]:
    """What is required of a spread."""
    return ("at most 1.01", spread <= 1.01) if kind in ("device", "graph") else ()


def bounds(name: str, outcomes: list[dict[str, Any]]) -> Iterator[Row]:
    """What bounds the elapsed time, and that no device time exceeds it."""
    ours = [each["ours"] for each in outcomes if "bound_by" in each["ours"]]
    if ours:
        yield row(f"{name}: bound by", ", ".join(sorted({each["bound_by"] for each in ours})))
    both = [each for each in ours if each["device_ms"] is not None]
    if both:
        most = max(each["device_ms"] / each["elapsed"] for each in both)
        yield row(f"{name}: device over elapsed", most, "", "at most 1.01", most <= 1.01)


def of_ours(field: str) -> Callable[[dict[str, Any]], Any]:
    """A field of our tool's outcome, or the reason why there is none."""
    return lambda each: each["ours"].get(field, each["ours"].get("reason", "does not apply on this device"))


def of_other(name: str) -> Callable[[dict[str, Any]], Any]:
    """Another tool's outcome, or the reason why there is none."""
    return lambda each: each[name]["reason"] if isinstance(each[name], dict) else each[name]


KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "elapsed": of_ours("elapsed"),
    "launch": of_ours("launch_ms"),
    "device": of_ours("device_ms"),
    "graph": of_other("graph"),
    "timm's way": of_other("timm"),
    "torch.utils.benchmark": of_other("torch"),
    "Triton's do_bench": of_other("triton"),
}

TWELVE = (
    ("timm:resnet50", 224, 1), ("timm:resnet50", 224, 32), ("timm:resnet18", 224, 8), ("timm:convnext_tiny", 224, 8),
    ("timm:vit_small_patch16_224", 224, 8), ("timm:mobilenetv3_large_100", 224, 32), ("timm:efficientnet_b0", 224, 8),
    ("timm:densenet121", 224, 8), ("timm:vgg16", 224, 8), ("torchvision:fcn_resnet50", 256, 2), ("fcn", 500, 1),
    ("unet", 256, 4),
)  # fmt: skip
"""Twelve networks with the side of their input and the batch."""


def subject_of(target: str, side: int, batch: int, device: str) -> Any:
    """A network as `bench measure` builds it."""
    from dataclasses import replace

    from bench.results.keys import Request
    from bench.sweep.feeding import fed_subject
    from bench.sweep.sides import side_of

    one = side_of(target, "A", {"shape": (3, side, side), "batch": batch, "device": device})
    return replace(fed_subject(Request("", one.variant, one.workload, "latency", "speed", None), one.plugins))


def memory(setting: Setting) -> Iterator[Row]:
    """The estimate against the allocator's peak, of inference and of a training step."""
    small = [("timm:resnet18", 64, 2), ("unet", 64, 1)]
    for target, side, batch in small if setting.quick else TWELVE:
        for name in ("memory", "train_memory"):
            label = f"{name}, {target} {side}, batch {batch}"
            yield from attempt(label, of_memory(name, label, (target, side, batch, setting.device)))
        release(setting)


def release(setting: Setting) -> None:
    """Give back what a network left, so that the next one starts from an empty device."""
    import gc

    import torch

    gc.collect()
    if not setting.on_cpu:
        torch.cuda.empty_cache()


def of_memory(name: str, label: str, network: tuple[str, int, int, str]) -> Iterator[Row]:
    """Peak, and estimate over peak. On a CPU the peak has libraries' workspace, so that nothing is required."""
    from bench.metrics.memory import memory as inference
    from bench.metrics.train_memory import train_memory as training

    subject = subject_of(*network)
    reading = (inference if name == "memory" else training)(subject)
    peaks = reading.value if isinstance(reading.value, list) else []
    estimate = reading.detail.get("estimate_mib", {}).get("peak")
    if not peaks or estimate is None:
        yield without(label, reading.error or str(reading.detail.get("estimate_error")))
        return
    ratio = estimate / median(peaks)
    required = () if subject.device == "cpu" else ("within 10 %", 0.9 <= ratio <= 1.1)
    yield row(label, median(peaks), "MiB")
    yield row(f"{label}, estimate over peak", ratio, "", *required)


def roofline(setting: Setting) -> Iterator[Row]:
    """Ceilings, and the fraction of them that a network reaches."""
    small = [("timm:resnet18", 64, 2)]
    for target, side, batch in small if setting.quick else [("timm:resnet50", 224, 32), ("fcn", 500, 1)]:
        yield from attempt(f"roofline, {target}", of_roofline(target, side, batch, setting.device))


def of_roofline(target: str, side: int, batch: int, device: str) -> Iterator[Row]:
    """The median fraction: at most 1, or with the reason for more."""
    from bench.metrics.roofline import FAULT
    from bench.metrics.roofline import roofline as fraction_of

    reading = fraction_of(subject_of(target, side, batch, device))
    detail, value = reading.detail, median(reading.value)  # type: ignore[type-var, arg-type]
    for name in ("peak_flops_per_s", "peak_convolution_flops_per_s", "peak_bytes_per_s"):
        if name in detail:
            yield row(f"{name}, {target}", float(detail[name]), "/s")
    why = detail.get("above_one", "")
    holds = bool(value <= 1 or (why and FAULT not in why))
    yield row(
        f"roofline, {target}, batch {batch}", value, "", f"at most 1{' or with a cause: ' * bool(why)}{why}", holds
    )


def training(setting: Setting) -> Iterator[Row]:
    """A step of our loop in each execution, against our loop before there were any, and against a plain one."""
    steps, side = (3, 32) if setting.quick else (200, 96)
    yield from attempt("training", of_training(setting, steps, side))


def of_training(setting: Setting, steps: int, side: int) -> Iterator[Row]:
    """Milliseconds of a step of each, and the ratio of the former loop to each execution."""
    from tests.gpu.training import former_seconds, our_seconds, plain_seconds

    plain, former = plain_seconds(setting.device, steps, side), former_seconds(setting.device, steps, side)
    yield row("a step of a plain loop", 1e3 * plain, "ms")
    yield row("a step of our former loop", 1e3 * former, "ms")
    for name in ("eager", "graph", "compile", "compile+graph"):
        if name != "eager" and setting.on_cpu:
            yield without(f"a step of our loop, {name}", "is tried on a GPU")
            continue
        ours, used, refused = our_seconds(setting.device, steps, side, name)
        if used != name:
            yield {**without(f"a step of our loop, {name}", str(refused)), "requirement": "admitted", "holds": False}
            continue
        yield row(f"a step of our loop, {name}", 1e3 * ours, "ms")
        required = () if name != "graph" else ("at least 5", former / ours >= 5)
        yield row(f"former loop over ours, {name}", former / ours, "", *required)


def several(setting: Setting) -> Iterator[Row]:
    """Steps per second of one training, and of several at once on the same device."""
    from bench.hardware.environment import usable_cores

    steps, side, runs = (3, 32, 2) if setting.quick else (600, 96, max(2, min(4, usable_cores())))
    yield from attempt("several", of_several(setting.device, steps, side, runs))


def of_several(device: str, steps: int, side: int, runs: int) -> Iterator[Row]:
    """The rate of one, of all together, and their ratio."""
    from tests.gpu.training import steps_per_second

    alone, together = (steps_per_second(device, steps, side, count) for count in (1, runs))
    yield row("steps per second of one training", alone, "/s")
    yield row(f"steps per second of {runs} trainings at once", together, "/s")
    yield row(f"{runs} at once over one", together / alone)


def paired(setting: Setting) -> Iterator[Row]:
    """False alarms of comparisons of a network with itself, and the smallest slowdown that they would detect."""
    groups = 3 if setting.quick else 4
    yield from attempt("paired", of_pairs(setting, groups))


def of_pairs(setting: Setting, groups: int) -> Iterator[Row]:
    """From groups of four processes of one network."""
    from itertools import islice

    from bench.gate.paired import best
    from bench.stats.paired import Rule, calibrated
    from bench.sweep.sides import side_of
    from bench.sweep.turns import Pair

    side = 64 if setting.quick else 224
    how = {"shape": (3, side, side), "batch": 1, "device": setting.device}
    a, b = (side_of("timm:resnet18", label, how) for label in "AB")
    rule = Rule(tolerance=0.02)
    estimator, logs = best(list(islice(Pair(a, b).groups(), groups)), rule)
    known = calibrated(logs, rule)
    yield row("A/A comparisons with a false alarm", known.false_alarms, "", "at most 0.05", known.false_alarms <= 0.05)
    detects = known.smallest <= 0.02 if math.isfinite(known.smallest) else False
    required = () if setting.on_cpu else ("at most 0.02", detects)
    yield row(f"smallest slowdown detected, {groups} groups, {estimator}", known.smallest, "", *required)


def cuda_tests(setting: Setting) -> Iterator[Row]:
    """The tests of the code for a device, by pytest; on a CPU those of the made-up devices."""
    if importlib.util.find_spec("pytest") is None:
        yield without("tests", "pytest is not installed")
        return
    files = ["tests/bench/hardware/test_device_time.py", "tests/bench/hardware/test_nvidia.py"]
    if not setting.quick:
        files = [
            "tests/bench/training/test_execution.py",
            "tests/bench/hardware",
            "tests/bench/metrics/test_speed.py",
            "tests/bench/spec/test_numeric.py",
        ]
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "default", *files]
    done = subprocess.run(line, capture_output=True, text=True)
    summary = (done.stdout.strip().splitlines() or ["no output"])[-1]
    broken = [each for each in done.stdout.splitlines() if each.startswith(("FAILED", "ERROR"))]
    yield row("tests", "; ".join([summary, *broken])[:1000], "", "all pass", done.returncode == 0)


PARTS = {each.__name__: each for each in (facts, times, memory, roofline, training, several, paired, cuda_tests)}


def main() -> None:
    """Print the rows of one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--device", required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    for each in PARTS[options.part](Setting(options.device, options.quick)):
        print(json.dumps(each), flush=True)


if __name__ == "__main__":
    main()
