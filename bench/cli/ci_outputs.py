"""The options that write what a CI reads: --summary, --junit, --sarif, --annotations, --badge."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bench.cli.options import echo, echo_error

if TYPE_CHECKING:
    from bench.gate.output.outcome import Outcome

F = TypeVar("F", bound=Callable[..., Any])

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
_FILE = click.Path(path_type=Path, dir_okay=False)
_OPTIONS = (
    click.option("--summary", metavar="FILE.md", default="", help=f"Write Markdown; auto: append to ${STEP_SUMMARY}."),
    click.option("--junit", metavar="FILE.xml", type=_FILE, help="Write JUnit XML, a case per variant and metric."),
    click.option("--sarif", metavar="FILE.json", type=_FILE, help="Write SARIF 2.1.0."),
    click.option("--annotations", type=click.Choice(["github"]), help="Print annotations of changed files."),
    click.option("--badge", metavar="FILE.svg", type=_FILE, help="Write the verdict as an SVG badge."),
)


@dataclass(frozen=True)
class Outputs:
    """What is to be written; empty or None where an option was not given."""

    summary: str = ""
    junit: Path | None = None
    sarif: Path | None = None
    annotations: str | None = None
    badge: Path | None = None

    def write(self, outcome: Outcome, as_json: bool) -> None:
        """Write every output that was asked for. With --json annotations go to stderr. Raises OSError."""
        from bench.gate.output.badge import badge
        from bench.gate.output.github import github
        from bench.gate.output.junit import junit
        from bench.gate.output.sarif import sarif
        from bench.registry.writing import write_text

        for file, written in ((self.junit, junit), (self.sarif, sarif), (self.badge, badge)):
            if file:
                write_text(file, written(outcome))
        if self.summary:
            self._write_summary(outcome)
        for line in github(outcome) if self.annotations else ():
            (echo_error if as_json else echo)(line)

    def _write_summary(self, outcome: Outcome) -> None:
        from bench.gate.output.markdown import markdown
        from bench.registry.writing import write_text

        if self.summary != "auto":
            write_text(Path(self.summary), markdown(outcome))
        elif file := os.environ.get(STEP_SUMMARY):
            with Path(file).open("a", encoding="utf-8") as stream:
                stream.write(f"{markdown(outcome)}\n")
        else:
            echo_error(f"{STEP_SUMMARY} is not set, so that no summary is written; name a file: --summary FILE.md")


def output_options(function: F) -> F:
    """The options, which the command gets as one value `outputs`."""

    @functools.wraps(function)
    def call(
        *arguments: Any,
        summary: str,
        junit: Path | None,
        sarif: Path | None,
        annotations: str | None,
        badge: Path | None,
        **options: Any,
    ) -> Any:
        return function(*arguments, outputs=Outputs(summary, junit, sarif, annotations, badge), **options)

    command: Any = call
    for option in reversed(_OPTIONS):
        command = option(command)
    result: F = command
    return result
