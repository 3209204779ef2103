"""The command that starts a project: init."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bench.cli.options import echo, echo_error


@click.command()
@click.argument("folder", metavar="[DIRECTORY]", default=Path(), type=click.Path(path_type=Path, file_okay=False))
@click.option("--ci", type=click.Choice(["github", "gitlab"]), help="Add a workflow file that runs gate and ablation.")
def init(folder: Path, ci: str | None) -> None:
    """Write a small project that works: network, dataset, metric and ablation of your own.

    DIRECTORY is made if it does not exist; default: the current folder. Nothing is overwritten. The project file
    fovbench.toml names the plug-ins, and is found from every folder below.

    \b
    bench init mine --ci github && cd mine
    bench run skip                         trains four small networks, in seconds
    bench gate                             checks parameters and MACs against results/expected/
    """
    from bench.registry.starting import start

    for path in start(folder, ci):
        echo(path)
    where = "" if folder.resolve() == Path.cwd() else f"cd {os.path.relpath(folder)} && "
    echo_error(f"next: {where}bench run skip")
