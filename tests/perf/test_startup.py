"""CPU seconds of the commands that must feel instant, each in a process of its own."""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = {"--help": 0.2, "list": 0.4, "list --json": 0.4, "show fcn": 0.4, "run --help": 0.2}


def cpu_seconds(arguments):
    """User and system time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "bench.cli", *arguments], cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("command", COMMANDS)
def test_cpu_time_of_a_light_command(command, capsys):
    cpu_seconds(command.split())
    samples = [cpu_seconds(command.split()) for _ in range(7)]
    median = statistics.median(samples)
    with capsys.disabled():
        relative = f"budget {COMMANDS[command]} s, {median / COMMANDS[command]:.2f} of it"
        print(f"\nbench {command:12} {median:.3f} s CPU (median of 7; {relative})", end="")
    assert min(samples) > 0
