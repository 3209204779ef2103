"""The command `bench`. Every command imports what it needs when it runs, so that help and lists are instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from bench.cli import audit, look, machine, reading, single, sweeping
from bench.cli.options import echo_error
from bench.registry.versions import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bench")
@click.option("--debug", is_flag=True, envvar="FOVBENCH_DEBUG", help="Show the traceback of an error.")
def bench(debug: bool) -> None:
    """Which part of a network earns its keep? Ablations that are measured, kept, compared and gated.

    \b
    bench list                             what there is to ablate
    bench measure fcn stride=32            one network: parameters, MACs, receptive field, latency
    bench run ablations/smoke.yaml         measure what is missing, then write the report
    bench table smoke                      the numbers
    bench gate smoke                       fail when something got worse
    """


for _command in (
    look.list_command,
    look.show,
    look.data,
    single.measure,
    single.verify,
    audit.audit,
    machine.doctor,
    sweeping.plan_command,
    sweeping.run,
    sweeping.why,
    reading.table,
    reading.report,
    reading.compare,
    reading.accept,
    reading.gate,
):
    bench.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. An error is one or two plain lines and exit status 2; Ctrl-C says how to go on."""
    debug = "--debug" in (sys.argv if arguments is None else arguments) or bool(os.environ.get("FOVBENCH_DEBUG"))
    try:
        bench.main(arguments, prog_name="bench", standalone_mode=False)
    except click.exceptions.Abort:
        echo_error("interrupted; what was measured is kept: run the same command again to go on")
        raise SystemExit(130) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(2) from None
    except (ValueError, LookupError, OSError, RuntimeError, ImportError) as error:
        if debug:
            raise
        echo_error(f"error: {error.args[0] if isinstance(error, KeyError) and error.args else error}")
        raise SystemExit(2) from None
