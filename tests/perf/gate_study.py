"""How often the gate's paired comparison is wrong, and what it detects: a study that prints one table.

    python tests/perf/gate_study.py run study.jsonl --decisions 200 --minutes 25
    python tests/perf/gate_study.py run study.jsonl --decisions 200 --load 4 --minutes 15
    python tests/perf/gate_study.py table study.jsonl

A decision compares a network with itself (A/A), or with itself and an extra amount of real work, which is calibrated at
the start. After each, two processes time the two sides one after the other, as tools with stored baselines do; the rules
of these tools are applied to them. Every decision is appended to the file when it is made, and a run goes on where the
last one ended. Run it on a machine that does nothing else; `--load 4` starts 4 busy processes.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gate_networks
import torch
from scipy import stats
from torch import nn

from bench.gate.paired import compared, task_of
from bench.registry.catalogue import declarations
from bench.stats.paired import Rule
from bench.sweep.roots import LIMIT, Remote
from bench.sweep.sides import side_of
from bench.sweep.turns import Pair, Side

SHAPES = {"conv": (3, 64, 64), "unet": (3, 64, 64), "vae": (1, 28, 28), "hourglass": (3, 64, 64)}
EFFECTS = (0, 3, 5, 10, -5, -10)
"""Percent by which B is slower than A; 0 is A/A, a negative one a win."""

Row = dict[str, Any]


def build(name: str, extra: int) -> nn.Module:
    network: nn.Module = getattr(gate_networks, name)(extra)
    return network.eval()


def calibrated(name: str, rounds: int = 25, extra: int = 100) -> Row:
    """CPU seconds of a call, and the fraction of it that one piece of extra work takes: medians over memory layouts."""
    x, plain, more = torch.randn(1, *SHAPES[name]), build(name, 0), build(name, extra)
    pairs = [(seconds(copy.deepcopy(plain), x), seconds(copy.deepcopy(more), x)) for _ in range(rounds)]
    call = statistics.median(pair[0] for pair in pairs)
    piece = statistics.median(pair[1] - pair[0] for pair in pairs) / extra
    return {"kind": "calibration", "network": name, "call": call, "piece": piece / call}


def seconds(network: nn.Module, x: torch.Tensor, calls: int = 8) -> float:
    with torch.inference_mode():
        network(x)
        times = []
        for _ in range(calls):
            start = time.thread_time()
            network(x)
            times.append(time.thread_time() - start)
    return statistics.median(times)


def sides(name: str, effect: int, piece: float) -> tuple[Side, Side, float]:
    """(A, B, the effect in percent that whole pieces of work make). A win is of an A with extra work."""
    extra = round(abs(100 / (100 + effect) - 1 if effect < 0 else effect / 100) / piece)
    file = f"{Path(gate_networks.__file__)}:{name}"
    how = {"shape": SHAPES[name], "batch": 1}
    plain, more = (side_of(f"{file}(extra={number})", "", how) for number in (0, extra))
    made = 1 + extra * piece
    return (more, plain, 100 / made - 100) if effect < 0 else (plain, more, 100 * made - 100)


def decided(a: Side, b: Side, budget: float) -> Row:
    """The verdict of the paired comparison, with the seconds of calls and of everything."""
    start, metric = time.monotonic(), declarations(()).metrics.get("latency")
    tasks = [task_of("study", metric, Pair(a, b).groups())]
    (outcome,) = compared(tasks, Rule(), budget)
    names = ("verdict", "ratio", "interval", "rounds", "seconds", "false_alarm_rate", "smallest_detectable", "error")
    return {**{key: outcome.as_row()[key] for key in names}, "elapsed": time.monotonic() - start}


def timed_alone(pipe: Connection, side: Side, seconds_of_calls: float) -> None:
    """A process that times its network as a benchmark does: elapsed seconds of calls, one after the other."""
    from bench.results.keys import Request
    from bench.sweep.feeding import fed_subject

    torch.set_num_threads(1)
    subject = fed_subject(Request("", side.variant, side.workload, "latency", "speed", None), ())
    times, ends = [], time.perf_counter() + seconds_of_calls
    with torch.inference_mode():
        for _ in range(5):
            subject.forward()
        while time.perf_counter() < ends:
            start = time.perf_counter()
            subject.forward()
            times.append(time.perf_counter() - start)
    pipe.send(times)


def alone(side: Side, seconds_of_calls: float = 1.0) -> list[float]:
    with Remote(timed_alone, side, seconds_of_calls, daemon=True) as process:
        times: list[float] = process.receive(LIMIT)
    return times


def rules(before: Sequence[float], now: Sequence[float]) -> dict[str, bool]:
    """Whether each rule says that `now` is slower. asv: a rank test at 0.002 and a factor of 1.1 of the medians."""
    median = statistics.median(now) / statistics.median(before)
    ranks = stats.mannwhitneyu(now, before, alternative="two-sided").pvalue
    welch = stats.ttest_ind(now, before, equal_var=False, alternative="greater").pvalue
    return {
        "pytest-benchmark median:5%": median > 1.05,
        "pytest-benchmark mean:10%": statistics.fmean(now) / statistics.fmean(before) > 1.10,
        "asv": bool(ranks < 0.002 and median > 1.1),
        "Welch test": bool(welch < 0.05),
    }


def busy(pipe: Connection) -> None:
    pipe.send("ready")
    while True:
        pass


def rows_of(files: Sequence[Path]) -> list[Row]:
    """The rows of result files."""
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def mended(file: Path) -> Path:
    """The file, without the part of a last line that a kill left."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    os.truncate(file, file.read_bytes().rfind(b"\n") + 1)
    return file


def append(file: Path, row: Row) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def due(rows: Sequence[Row], chosen: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """What is to be decided, in turn: A/A four times as often as each effect, so many decisions of A/A in all."""
    cases = [(name, effect) for effect in chosen.effects for name in SHAPES]
    made = {case: sum(is_of(row, case, chosen.load) for row in rows) for case in cases}
    wanted = {case: -(-chosen.decisions // len(SHAPES)) // (1 if case[1] == 0 else 4) for case in cases}
    for number in itertools.count():
        if not any(made[case] < wanted[case] for case in cases):
            return
        for case in cases:
            if made[case] < wanted[case] and (case[1] == 0 or number % 4 == 0):
                made[case] += 1
                yield case


def is_of(row: Row, case: tuple[str, int], load: int) -> bool:
    return row["kind"] == "decision" and (row["network"], row["effect"], row["load"]) == (*case, load)


def study(chosen: argparse.Namespace) -> None:
    """Make the decisions that the file lacks, until the time is up."""
    ends, rows = time.monotonic() + 60 * chosen.minutes, rows_of([mended(chosen.file)])
    torch.set_num_threads(1)
    pieces = {row["network"]: row["piece"] for row in rows if row["kind"] == "calibration"}
    for name in [name for name in SHAPES if name not in pieces]:
        append(chosen.file, row := calibrated(name))
        pieces[name] = row["piece"]
    with ExitStack() as stack:
        loads = [stack.enter_context(Remote(busy, daemon=True)) for _ in range(chosen.load)]
        assert all(process.receive(LIMIT) == "ready" for process in loads)
        for name, effect in due(rows, chosen):
            if time.monotonic() > ends:
                return
            before = os.getloadavg()[0]
            a, b, made = sides(name, effect, pieces[name])
            where = {"load": chosen.load, "machine": chosen.machine}
            row = {"kind": "decision", "network": name, "effect": effect, "made": made, **where}
            row |= {**decided(a, b, chosen.budget), "rules": rules(alone(a), alone(b)), "load_average": before}
            append(chosen.file, row)
            print(f"{name} {effect:+d} %: {row['verdict']} after {row['elapsed']:.0f} s", file=sys.stderr)


RIGHT = {0: "pass", 3: "", 5: "regression", 10: "regression", -5: "win", -10: "win"}
"""Of 3 %, the tolerance itself, no verdict is wrong."""

VERDICTS = ("pass", "regression", "win", "inconclusive")
HEAD = (
    "machine",
    "load",
    "B is slower by",
    "decisions",
    *VERDICTS,
    "decided in",
    "others say slower",
)


def table(rows: Sequence[Row]) -> str:
    """A Markdown table: a row for each machine, load and effect; below it the false alarms of all A/A decisions."""
    groups: dict[tuple[str, int, int], list[Row]] = {}
    for row in [row for row in rows if row["kind"] == "decision"]:
        groups.setdefault((row["machine"], row["load"], row["effect"]), []).append(row)
    machines = list(dict.fromkeys(machine for machine, _, _ in groups))
    ordered = sorted(groups, key=lambda group: (machines.index(group[0]), group[1], EFFECTS.index(group[2])))
    body = [cells(groups[group], *group) for group in ordered]
    lines = [f"| {' | '.join(line)} |" for line in [HEAD, ("---",) * len(HEAD), *body]]
    equal = [row for (_, _, effect), group in groups.items() if effect == 0 for row in group]
    return "\n".join([*lines, "", false_alarms(equal)] if equal else lines)


def false_alarms(rows: Sequence[Row]) -> str:
    """What all A/A decisions together say."""
    alarms = fraction([row["verdict"] in ("regression", "win") for row in rows])
    return f"A/A in all: {len(rows)} decisions, false alarms {alarms}. Of the others: {slower_by_others(rows)}."


def slower_by_others(rows: Sequence[Row]) -> str:
    """In what part of the decisions each other rule says that B is slower."""
    return "; ".join(f"{name} {fraction([row['rules'][name] for row in rows])}" for name in rows[0]["rules"])


def cells(rows: Sequence[Row], machine: str, load: int, effect: int) -> tuple[str, ...]:
    verdicts = [fraction([row["verdict"] == each for row in rows], RIGHT[effect] == each) for each in VERDICTS]
    spent = sorted(row["elapsed"] for row in rows)
    calls = statistics.median(row["seconds"] for row in rows)
    time_spent = (
        f"{statistics.median(spent):.0f} s ({calls:.0f} s of calls), 95 %: {spent[int(0.95 * len(spent))]:.0f} s"
    )
    made = statistics.fmean(row["made"] for row in rows)
    case = (machine, str(load), "A/A" if effect == 0 else f"{made:+.1f} %", str(len(rows)))
    return *case, *verdicts, time_spent, slower_by_others(rows)


def fraction(hits: Sequence[bool], right: bool = False) -> str:
    """`1 % (at most 3 %)`: with the one-sided 95 % bound (Clopper and Pearson), from below for what is right."""
    number, of = sum(hits), len(hits)
    bound = stats.binomtest(number, of, alternative="greater" if right else "less").proportion_ci()
    side = f"at least {100 * bound.low:.0f} %" if right else f"at most {100 * bound.high:.0f} %"
    return f"{100 * number / of:.0f} % ({side})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="make decisions and append them to FILE")
    run.add_argument("file", type=Path)
    run.add_argument("--decisions", type=int, default=200, help="of A/A, in all; a quarter of them for each effect")
    run.add_argument("--effects", type=lambda text: [int(each) for each in text.split(",")], default=list(EFFECTS))
    run.add_argument("--budget", type=float, default=60.0, help="seconds for one decision")
    run.add_argument("--load", type=int, default=0, help="busy processes that run meanwhile")
    run.add_argument("--machine", default="this one", help="what the table calls this machine")
    run.add_argument("--minutes", type=float, default=float("inf"), help="start no decision after so many minutes")
    show = commands.add_parser("table", help="print the table of FILES")
    show.add_argument("files", type=Path, nargs="+")
    chosen = parser.parse_args()
    print(table(rows_of(chosen.files))) if chosen.command == "table" else study(chosen)


if __name__ == "__main__":
    main()
