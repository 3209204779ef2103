"""The command that finds the commit which changed a metric: bisect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bench.cli.live import tolerance_option, workload_options
from bench.cli.options import Seconds, echo, json_option, plugin, print_json, store_option

if TYPE_CHECKING:
    from bench.gate.bisection import Change, Step
    from bench.results.location import Location
    from bench.sweep.commits import Commit


@click.command()
@click.argument("good")
@click.argument("bad")
@click.argument("target", metavar="TARGET|ABLATION")
@click.option(
    "--metric", default="latency", show_default=True, help="macs, params, ...: by value; latency, memory, ..."
)
@click.option(
    "--budget", type=Seconds(), default=600.0, show_default="10m", help="Longest time for all paired runs together."
)
@tolerance_option
@workload_options
@plugin
@store_option
@json_option
def bisect(good: str, bad: str, target: str, store: Location, as_json: bool, **how: Any) -> None:
    """Find the first commit after GOOD, up to BAD, that has the change of a metric, with the rule of `bench gate`.

    TARGET is written as for `bench compare --live`; of an ABLATION that variant is followed which changed most.
    Deterministic metrics are compared by value. Others are timed against GOOD, both sides in turns; a result that is
    inconclusive gets its time once more, and counts by its probability. A commit with the same code as one that was
    judged costs nothing, one that does not run is skipped. Commits are those along first parents.

    \b
    bench bisect v1.2 HEAD fcn_skips --metric macs
    bench bisect HEAD~20 HEAD "net.py:build(width=2)" --shape 3,96,96 --budget 20m
    bench bisect main~8 main "fcn_skips[stride=8,skips=true]" --metric memory --json
    exit 0 found · 1 GOOD and BAD do not differ · 2 usage · 3 not sure, or several commits · 4 GOOD or BAD is broken
    """
    import bench
    from bench.gate.bisection import Change
    from bench.gate.bisection_text import lines, step_line, whole_line
    from bench.sweep.commits import between, commit_at

    commits = {each.name: each for each in (commit_at(good), *between(good, bad))}

    def named(commit: str) -> str:
        return str(commits[commit])

    def say(event: Change | Step) -> None:
        if as_json:
            print_json([_row(event, commits)])
        else:
            echo(whole_line(event, target) if isinstance(event, Change) else step_line(event, named))

    outcome = bench.bisect(good, bad, target, store=store, notify=say, **how)
    if as_json:
        found = [_commit(commits[name]) for name in outcome.candidates]
        first = found[0] if outcome.verdict == "found" else {"commit": None, "subject": None, "author_date": None}
        print_json([{"kind": "summary", **outcome.as_row(), **first, "candidates": found}])
    else:
        for line in lines(outcome, named, lambda name: commits[name].authored):
            echo(line)
    raise SystemExit(outcome.exit_code)


def _row(event: Change | Step, commits: dict[str, Commit]) -> dict[str, Any]:
    from bench.gate.bisection import Step

    if isinstance(event, Step):
        return {"kind": "step", **vars(event), "subject": commits[event.commit].subject}
    return {"kind": "whole", **vars(event)}


def _commit(commit: Commit) -> dict[str, str]:
    return {"commit": commit.name, "subject": commit.subject, "author_date": commit.authored}
