"""Energy of one image."""

from __future__ import annotations

import torch

from bench.hardware.accelerator import accelerator
from bench.hardware.energy import NoCounterError, drawn, idle, meter, net_joules
from bench.hardware.stopwatch import thread_count
from bench.hardware.subject import Subject
from bench.registry import metric
from bench.registry.errors import DoesNotApplyError
from bench.results.measurement import Reading
from bench.stats.descriptive import median

REPEATS, SECONDS, IDLE_SECONDS = 5, 1.0, 2.0
"""Runs of forward passes, the seconds of each, and the seconds in which idle power is read before them."""


@metric(unit="J", better="lower", kind="speed", display_name="energy per image", of_graph=True, bounds=(0, None))
def energy(subject: Subject) -> Reading:
    """Joules that the device draws for one image of a forward pass, without what it draws when idle.

    Forward passes run one after the other for a second, five times; each run is a sample: the rise of the device's
    counter of energy, less idle power times the duration, over the number of images. Idle power is read right before,
    with the network on the device. The counter is that of NVIDIA's driver, for the whole card, or that of the CPU's
    packages (RAPL) with everything else that runs on them. Where neither can be read, the metric does not apply.

    Detail: the counter (`source`), power while working and when idle in watts, joules with the idle part
    (`gross_joules`), images of each run.
    """
    try:
        counter = meter(subject.device)
    except NoCounterError as error:
        raise DoesNotApplyError(str(error)) from None
    wait = accelerator(subject.device).synchronize
    with thread_count(subject.threads), torch.inference_mode():
        subject.forward()
        wait()
        rest = idle(counter, IDLE_SECONDS)
        drawn(counter, subject.forward, wait, SECONDS)  # warms up
        work = [drawn(counter, subject.forward, wait, SECONDS) for _ in range(REPEATS)]
    detail = {
        "source": counter.source,
        "watts": median([each.watts for each in work]),
        "idle_watts": rest.watts,
        "gross_joules": [each.joules / (each.calls * subject.batch) for each in work],
        "images": [each.calls * subject.batch for each in work],
    }
    return Reading([joules / subject.batch for joules in net_joules(work, rest)], detail)
