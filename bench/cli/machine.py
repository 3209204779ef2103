"""The command that examines the machine: doctor."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import data_option, echo, json_option

if TYPE_CHECKING:
    from bench.sweep.doctor import Finding


@click.command()
@data_option
@json_option
def doctor(data: Path | None, as_json: bool) -> None:
    """Show devices, versions, ceilings, noise, and what is missing.

    Measures matrix products and copies of memory on each device, and how much repeated timings of one kernel differ.
    Takes about ten seconds.
    """
    from bench.sweep.doctor import examine

    findings = examine(data)
    if as_json:
        for finding in findings:
            _print_json(finding)
    else:
        _print(findings)


def _print_json(finding: Finding) -> None:
    import json

    echo(json.dumps(vars(finding)))


def _print(findings: Iterable[Finding]) -> None:
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            echo(section, bold=True)
        value = f"{finding.value:.4g}" if isinstance(finding.value, float) else finding.value
        line = f"  {finding.name:36} {value} {finding.unit}".rstrip()
        echo(line, fg="yellow" if finding.missing else None)
