"""A paired comparison in words, for the terminal and for summaries."""

from __future__ import annotations

from collections.abc import Iterator

from bench.display.numbers import counted
from bench.gate.paired import Comparison

SHORT = {"latency": "ms", "throughput": "ms a batch", "train_step_latency": "ms a step", "startup": "ms"}
"""What the times of timed metrics are printed in; other metrics have values in their own unit."""


def change(ratio: float) -> str:
    """`+5.1 %` of 1.051."""
    return f"{100 * (ratio - 1):+.1f} %"


def progress(comparison: Comparison) -> str:
    """One line on how far a comparison is."""
    text = f"{comparison.name}, {comparison.metric}: round {comparison.rounds}"
    if comparison.error:
        return f"{text}: broken: {comparison.error}"
    return f"{text}, {interval(comparison)}" if comparison.ratio is not None else text


def interval(comparison: Comparison) -> str:
    """The change with the interval that decides: `+5.1 % [+4.2, +6.0]`."""
    if comparison.ratio is None or comparison.interval is None:
        return "not measured"
    low, high = (f"{100 * (end - 1):+.1f}" for end in comparison.interval)
    return f"{change(comparison.ratio)} [{low}, {high}]"


def lines(comparison: Comparison) -> Iterator[str]:
    """The verdict with its interval, then the noise of the run and what could have been seen."""
    if comparison.error:
        yield f"broken        {comparison.name}, {comparison.metric}: {comparison.error}"
        return
    yield f"{comparison.verdict:13} {comparison.name}, {comparison.metric}: {interval(comparison)}{_values(comparison)}"
    if comparison.ratio is None:
        yield what_would_decide(comparison)
        return
    yield f"{comparison.rounds} rounds of four processes, {comparison.seconds:.0f} s of calls; {comparison.estimator}"
    yield _calibration(comparison)
    if comparison.left_out:
        does = "does" if comparison.left_out == 1 else "do"
        rounds = counted(comparison.left_out, "round")
        yield f"{rounds} {does} not count: a process was unlike the other of the same side"
    if comparison.verdict == "inconclusive":
        yield what_would_decide(comparison)
    if comparison.trouble:
        yield f"disturbed: {', '.join(comparison.trouble)}"


def _values(comparison: Comparison) -> str:
    if comparison.a is None or comparison.b is None:
        return ""
    unit = SHORT.get(comparison.metric)
    scale = 1e3 if unit else 1.0
    return f"  ({scale * comparison.a:.4g} -> {scale * comparison.b:.4g}{f' {unit}' if unit else ''})"


def _calibration(comparison: Comparison) -> str:
    """What the A/A runs that are drawn from this run's noise say."""
    rate, smallest = comparison.false_alarm_rate or 0.0, comparison.smallest_detectable or 0.0
    return (
        f"A/A of this run: {100 * rate:.1f} % false alarms; a slowdown of {100 * smallest:.1f} % would have been "
        f"called a regression; tolerance {100 * comparison.tolerance:g} %"
    )


def what_would_decide(comparison: Comparison) -> str:
    """What helps where a comparison is inconclusive."""
    if comparison.ratio is None:
        rounds = counted(comparison.rounds, "round")
        return f"the time was up after {rounds}, before the first look: give a longer --budget"
    if comparison.rounds_needed is None:
        return "the ratio lies at the tolerance: no number of rounds decides; choose another --tolerance"
    more = max(1, comparison.rounds_needed - comparison.rounds)
    return f"about {counted(more, 'more round')} would decide at this noise: give a longer --budget"
