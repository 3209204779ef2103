"""A Slurm cluster for tests, in namespaces of its own on this machine; it ends with the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

SCRIPT = Path(__file__).with_suffix(".sh")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "munge", "unshare", "nsenter", "ip", "pgrep")
NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc")
PATIENCE = 60.0
"""Seconds for the start of the daemons."""

LONGEST = 600
"""Seconds after which a job that does not end is an error."""


def why_not() -> str:
    """Why no cluster can be started here; empty where one can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"there is no {', '.join(missing)} (Debian: apt install slurm-wlm munge)"
    if os.getuid():
        return "the daemons of Slurm need root"
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "ip", "link", "add", "name", "b", "type", "bridge"], capture_output=True
    )
    return "this machine has no namespaces with networks" if tried.returncode else ""


@dataclass(frozen=True)
class SlurmCluster:
    """A running cluster; `first` is the first process of its namespaces, as this machine numbers it."""

    folder: Path
    first: psutil.Process

    def submit(self, script: Path, environment: Mapping[str, str], *options: str) -> int:
        """Submit a script from its folder and wait; the exit status of the job."""
        inside = ["nsenter", "-t", str(self.first.pid), "-m", "-p", "-n", "-u", f"--wd={script.parent}"]
        command = [*inside, "sbatch", "--wait", "--quiet", *options, str(script)]
        inherited = {**environment, "SLURM_CONF": str(self.folder / "slurm.conf")}
        return subprocess.run(command, env=inherited, timeout=LONGEST).returncode

    def commands(self) -> list[str]:
        """The command lines of all processes of the cluster."""
        lines = []
        for process in self.first.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                lines.append(" ".join(process.cmdline()))
        return lines


@contextlib.contextmanager
def running(nodes: int) -> Iterator[SlurmCluster]:
    folder = Path(tempfile.mkdtemp(prefix="fvslurm"))
    try:
        with (folder / "log").open("wb") as log:
            command = ["unshare", *NAMESPACES, "bash", str(SCRIPT), str(nodes), str(folder)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _await(folder, process)
            (first,) = psutil.Process(process.pid).children()
            yield SlurmCluster(folder, first)
        finally:
            process.kill()  # and with it, by --kill-child, all that runs in the namespaces
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(folder: Path, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + PATIENCE
    while not (folder / "ready").exists():
        if process.poll() is not None or time.monotonic() > ends:
            raise RuntimeError((folder / "log").read_text()[-4000:])
        time.sleep(0.1)
