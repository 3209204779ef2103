"""Machines in place of real ones: each has a network, mounts and folders of its own (namespaces of Linux).

A cable goes from the first one to each of the others; it can be pulled out and put in again. Nothing needs a right that
a usual user lacks, where the system allows user namespaces.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
FIRST = "10.77.0.1"
READY = "echo ready; exec cat"


def why_not():
    """Why there can be no such machines here; empty where there can."""
    for tool in ("unshare", "nsenter", "ip", "mount"):
        if shutil.which(tool, path=PATH) is None:
            return f"there is no program {tool}"
    with contextlib.ExitStack() as stack:
        try:
            Machine(stack).cabled(stack)
        except (subprocess.CalledProcessError, EOFError) as error:
            return f"this system does not allow namespaces and cables between them ({error})"
    return ""


class Machine:
    """A machine, held by a process that ends with the stack. `within` is what a command begins with that runs there."""

    def __init__(self, stack, within=("unshare", "--map-root-user")):
        command = [*within, "unshare", "--net", "--mount", "sh", "-c", READY]
        if within[0] == "unshare":
            command = [*within, "--net", "--mount", "sh", "-c", READY]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.holder = stack.enter_context(subprocess.Popen(command, env={**os.environ, "PATH": PATH}, **pipes))
        stack.callback(self.holder.stdin.close)
        if self.holder.stdout.readline() != b"ready\n":
            raise EOFError("unshare ends at once")
        names = ("--user", "--net", "--mount", "--preserve-credentials")
        self.within = ("nsenter", *names, "--target", str(self.holder.pid), "--wd=.")
        self.others = 0
        self.cable = ""
        self.address = FIRST
        self.run("ip", "link", "set", "lo", "up")
        if within[0] == "unshare":
            self.run("ip", "address", "add", f"{FIRST}/32", "dev", "lo")

    def run(self, *command):
        subprocess.run([*self.within, *command], check=True, env={**os.environ, "PATH": PATH}, capture_output=True)

    def cabled(self, stack):
        """Another machine, with a cable to this one."""
        other = Machine(stack, self.within)
        self.others += 1
        other.first, other.cable = self, f"to{self.others}"
        here, other.address = f"10.77.{self.others}.1", f"10.77.{self.others}.2"
        peer = ("peer", "name", "eth0", "netns", str(other.holder.pid))
        self.run("ip", "link", "add", other.cable, "type", "veth", *peer)
        self.run("ip", "address", "add", f"{here}/30", "dev", other.cable)
        self.run("ip", "link", "set", other.cable, "up")
        other.run("ip", "address", "add", f"{other.address}/30", "dev", "eth0")
        other.run("ip", "link", "set", "eth0", "up")
        other.run("ip", "route", "add", "default", "via", here)
        return other

    def pull_out(self):
        """No packet goes between this machine and the first one any more."""
        self.first.run("ip", "link", "set", self.cable, "down")

    def put_in(self):
        self.first.run("ip", "link", "set", self.cable, "up")

    def mount_memory(self, folder, size=""):
        """Give the machine a file system of its own in this folder, of so many bytes."""
        options = ("-o", f"size={size}") if size else ()
        self.run("mount", "-t", "tmpfs", *options, "tmpfs", str(folder))


@contextlib.contextmanager
def short_folder():
    """A folder whose path is short enough for Ray's sockets."""
    folder = tempfile.mkdtemp(prefix="fv", dir="/tmp")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def ray_started(machine, log, *options, **variables):
    """A node of a cluster on a machine (`ray start`), until the end; everything that it started ends with it."""
    ray = str(Path(sys.executable).with_name("ray"))
    command = [*machine.within, ray, "start", f"--node-ip-address={machine.address}", "--block", *options]
    with log.open("a") as file:
        process = subprocess.Popen(command, env={**variables, "PATH": PATH}, stdout=file, stderr=file)
    try:
        yield process
    finally:
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(60)
        for each in psutil.wait_procs(below, 5)[1]:
            with contextlib.suppress(psutil.Error):
                each.kill()
