"""`python -m tests.gpu`: everything that only a machine with a GPU can show, in under five minutes.

Works from a bare checkout, without network. Each part runs in a process of its own; a part that fails, or that there is
no time for, is a row of the result and stops no other. The result, `gpu.json` in the folder `--out`, is written after
each part, and the table is printed at the end. Only the standard library is imported here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = 1
SECONDS = 285.0
"""All parts together."""

PARTS: Mapping[str, float] = {
    "facts": 30,
    "times": 130,
    "memory": 60,
    "roofline": 45,
    "training": 90,
    "several": 120,
    "paired": 75,
    "cuda_tests": 90,
}
"""The parts in their order, with the most seconds of each."""

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts. The exit status is 1 where a part failed or a requirement does not hold."""
    options = parsed(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.seconds
    parts: dict[str, Any] = {}
    for name in options.parts:
        print(f"{name} ...", file=sys.stderr, flush=True)
        parts[name] = run_part(command(name, options), min(limit(name, options), end - time.monotonic()))
        write(options.out / "gpu.json", result(options, parts))
    print(table(parts))
    return int(any(failed(part) for part in parts.values()))


def limit(name: str, options: argparse.Namespace) -> float:
    """The most seconds of a part: whoever gives all parts more time gives each more."""
    return PARTS[name] * max(1.0, options.seconds / SECONDS)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--device", default="cuda", help="default: cuda. On cpu the device's own parts do not apply.")
    parser.add_argument("--quick", action="store_true", help="small networks and few samples: tries the script itself")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / ".gpu", help="folder of gpu.json")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for all parts; default: {SECONDS:g}")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    return parser.parse_args(arguments)


def command(name: str, options: argparse.Namespace) -> list[str]:
    """What runs a part; it prints each row as a line of JSON as soon as it is measured."""
    quick = ["--quick"] * options.quick
    return [sys.executable, "-m", "tests.gpu.part", name, "--device", options.device, *quick]


def run_part(line: Sequence[str], seconds: float) -> dict[str, Any]:
    """Run a part in its own process, ended with all that it started after `seconds`. What it printed until then is
    kept."""
    if seconds <= 0:
        return {"status": "skipped", "seconds": 0.0, "reason": "no time left", "rows": []}
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(line, stdout=out, stderr=errors, cwd=ROOT, env=environment(), start_new_session=True)
        status = finished(process, seconds)
        texts = [stream.seek(0) or stream.read() for stream in (out, errors)]
    rows = list(rows_of(texts[0]))
    reason = f"no end within {seconds:.0f} s" if status is None else last_line(texts[1]) if status else ""
    return {
        "status": "failed" if reason or status else "ok",
        "seconds": round(time.monotonic() - start, 1),
        "reason": reason or (f"exit status {status}" if status else ""),
        "rows": rows,
    }


def finished(process: subprocess.Popen[str], seconds: float) -> int | None:
    """The exit status; None where the process had to be ended. Nothing that it started outlives it."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):  # the whole group has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def environment() -> dict[str, str]:
    """The environment of a part: the checkout before all else, no network, nothing written into the home folder."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **own}


def rows_of(text: str) -> Iterator[Row]:
    """The rows that a part printed; other lines, such as a library's, are left out."""
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "name" in row:
            yield row


def last_line(text: str) -> str:
    """The error that ended a part."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""


def result(options: argparse.Namespace, parts: Mapping[str, Any]) -> dict[str, Any]:
    """What gpu.json holds."""
    return {"schema": SCHEMA, "device": options.device, "quick": options.quick, "parts": dict(parts)}


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file as a whole, so that it can be read at any time."""
    new = path.with_suffix(".part")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(path)


def failed(part: Mapping[str, Any]) -> bool:
    """Whether a part did not end well, or a requirement of it does not hold."""
    return part["status"] == "failed" or any(row.get("holds") is False for row in part["rows"])


def table(parts: Mapping[str, Any]) -> str:
    """All rows as text: part, name, value, and whether the requirement holds."""
    lines = []
    for name, part in parts.items():
        lines.append(f"{name}: {part['status']}, {part['seconds']} s{', ' * bool(part['reason'])}{part['reason']}")
        lines += [f"  {row['name']:<58} {shown(row):<24} {verdict(row)}".rstrip() for row in part["rows"]]
    return "\n".join(lines)


def shown(row: Row) -> str:
    """The value with its unit, or why there is none."""
    value = row["value"]
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return row.get("reason", "") if value is None else f"{text} {row.get('unit', '')}".strip()


def verdict(row: Row) -> str:
    """The requirement, and whether it holds."""
    if "requirement" not in row:
        return ""
    return f"{'ok' if row['holds'] else 'NOT'}: {row['requirement']}"


if __name__ == "__main__":
    raise SystemExit(main())
