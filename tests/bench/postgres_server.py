"""A PostgreSQL server for tests: on loopback, in a folder of its own, with a password; it ends with the tests."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "s3cret-w0rd"
USER = "fovbench"
PATIENCE = 60.0


@dataclass(frozen=True)
class TestServer:
    """A running server; `process` is that of its postmaster."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def emptied(self) -> str:
        """The URL of a database that has nothing of ours."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS fovbench CASCADE")
        return self.url("postgres")


def why_not() -> str:
    """Why no server can be started here; empty where one can."""
    if binaries() is None:
        return "there is no PostgreSQL server (Debian: apt install postgresql)"
    for module in ("sqlalchemy", "psycopg"):
        with contextlib.suppress(ImportError):
            __import__(module)
            continue
        return f"{module} is not installed (pip install fovbench[postgres])"
    return "" if _user() is not None else "the server refuses to run as root, and there is no other user"


def binaries() -> Path | None:
    """The folder with initdb and postgres."""
    named = shutil.which("initdb")
    folders = [Path(named).parent] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "postgres").is_file()), None)


def _user() -> pwd.struct_passwd | None:
    """The user that the server runs as: not root, as which it refuses to."""
    if os.getuid():
        return pwd.getpwuid(os.getuid())
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


@contextlib.contextmanager
def running() -> Iterator[TestServer]:
    user, place = _user(), binaries()
    assert user is not None
    assert place is not None
    folder = Path(tempfile.mkdtemp(prefix="fovpg"))
    own = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if not os.getuid() else {}
    try:
        word = folder / "word"
        word.write_text(PASSWORD)
        for path in (folder, word):
            os.chown(path, user.pw_uid, user.pw_gid)
        data = folder / "data"
        make = ["initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={word}", "-E", "UTF8", "--no-sync"]
        command = [str(place / str(make[0])), *map(str, make[1:])]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env={"LC_ALL": "C"}, **own)  # type: ignore[call-overload]
        yield from _served(place, folder, own)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _served(place: Path, folder: Path, own: dict[str, object]) -> Iterator[TestServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    settings |= {"shared_buffers": "16MB", "max_connections": 20, "autovacuum": "off", "log_min_messages": "info"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        command = [str(place / "postgres"), "-D", str(folder / "data"), *options]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={"LC_ALL": "C"}, **own)  # type: ignore[call-overload]
    server = TestServer(port, folder, process)
    try:
        _await(server)
        yield server
    finally:
        process.send_signal(3)  # SIGQUIT: an immediate end
        process.wait(30)


def _await(server: TestServer) -> None:
    import psycopg

    ends = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(server.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError((server.folder / "log").read_text()) from None
            time.sleep(0.05)
        else:
            return
