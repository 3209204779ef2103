"""The command `bench`. Every command imports what it needs when it runs, so that help and lists are instant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from bench.cli import (
    audit,
    bisecting,
    errors,
    gating,
    history,
    look,
    machine,
    reading,
    single,
    starting,
    store,
    sweeping,
    watching,
)
from bench.hardware.ending import ended
from bench.hardware.streams import open_standard_streams
from bench.registry.versions import __version__


class _Bench(click.Group):
    """Click ends silently on every closed pipe; ours says which, unless it is standard output's."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise errors.ClosedPipe from error


@click.group(cls=_Bench, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bench")
def bench() -> None:
    """Which part of a network earns its keep? Ablations that are measured, stored, compared and gated.

    \b
    bench list                             the architectures, ablations, metrics, tasks and datasets
    bench measure fcn stride=32            one network: parameters, MACs, receptive field, latency
    bench run smoke                        measure what is missing, then write the report
    bench table smoke                      the numbers
    bench gate smoke                       fail when a number got worse
    bench init mine                        a project of your own to start from

    Options have the defaults of the project file, fovbench.toml or [tool.fovbench] in pyproject.toml, which is looked
    for from the current folder upwards.
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
    watching.watch,
    reading.table,
    reading.report,
    reading.compare,
    gating.accept,
    gating.gate,
    bisecting.bisect,
    history.history,
    reading.export,
    reading.import_command,
    store.store,
    starting.init,
):
    bench.add_command(_command)


def _with_subcommands(command: click.Command) -> Iterator[click.Command]:
    yield command
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _with_subcommands(each)


for _command in _with_subcommands(bench):
    errors.debug_option(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Every error is one or two plain lines and exit status 2; Ctrl-C is exit status 130.

    The traceback of an error is shown with `--debug`, or where FOVBENCH_DEBUG is set.
    """
    try:
        _run(arguments)
    except SystemExit as end:
        ended(end.code)
        raise
    ended(None)


def _run(arguments: Sequence[str] | None) -> None:
    open_standard_streams()
    try:
        try:
            bench.main(arguments, prog_name="bench", standalone_mode=False)
        finally:
            errors.flush_output()  # where output is not read any more, this fails too, and replaces the first error
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a library may raise what is no Exception, and a user must get a line for it too
        raise SystemExit(errors.report(error, errors.debugging(arguments))) from None
