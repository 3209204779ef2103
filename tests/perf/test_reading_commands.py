"""CPU seconds and memory of the commands that read, at 1,000 variants beside 100,000 rows of other settings.

Each command runs in a process of its own, once on a tenth and once on the whole: a linear one takes at most ten times
as long, less what it costs to start.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results.store import Store
from tests.bench.crowded import ablation_in, add_history, fill

ROOT = Path(__file__).parents[2]
VARIANTS, HISTORY = 1_000, 100_000
SEEDS = 100
"""With 1,000 variants as many training runs as an ablation may ask for."""

COMMANDS = {
    "list": "list ablations",
    "plan": "plan crowded",
    "plan --json": "plan crowded --json",
    "plan, many seeds": "plan seeds --json",
    "run --dry-run": "run crowded --dry-run",
    "why": "why due",
    "why, all due": "why all_due",
    "table": "table crowded",
    "table csv": "table crowded --format csv",
    "table json": "table crowded --format json",
    "table latex": "table crowded --format latex",
    "report": "report crowded",
    "gate": "gate crowded",
    "export": "export crowded",
    "compare": "compare results/store.sqlite results/store.sqlite",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two working folders: with a tenth of the rows, and with all of them."""
    return {share: _folder(tmp_path_factory.mktemp("rows"), share) for share in (0.1, 1.0)}


def _folder(folder, share):
    variants, scores = round(VARIANTS * share), ("miou", "pixel_accuracy")
    crowded = ablation_in(folder, variants)
    ablation_in(folder, variants, name="seeds", seeds=round(SEEDS * share), metrics=scores)
    ablation_in(folder, 5, name="due", metrics=("miou",), steps=6)
    ablation_in(folder, variants, name="all_due", steps=6)
    with Store(folder / "results" / "store.sqlite") as store:
        fill(store, crowded)
        add_history(store, crowded, round(HISTORY * share))
    used("accept crowded", folder)
    return folder


def used(command, folder):
    """(CPU seconds, peak memory in MB) of a command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "bench.cli", *command.split()]
    process = subprocess.Popen(
        arguments, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with process.stderr:
        errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert "Traceback" not in errors.decode(), errors.decode()
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


@pytest.mark.parametrize("name", COMMANDS)
def test_reading_command(name, folders, capsys):
    (less, _), (seconds, memory) = (used(COMMANDS[name], folders[share]) for share in (0.1, 1.0))
    with capsys.disabled():
        print(f"\nbench {name:18} {seconds:6.2f} s CPU, {memory:4.0f} MB; {less:.2f} s of a tenth", end="")
    assert seconds > 0
