from __future__ import annotations

import os
import sys
import threading

import pytest

from bench.hardware.affinity import busy_ticks, chosen, pinned

STAT = """cpu  100 0 0 900 0 0 0 0 0 0
cpu0 10 1 2 500 90 3 4 5 7 0
cpu1 20 0 0 400 0 0 0 0 0 0
intr 12345
"""


def test_busy_is_what_is_neither_idle_nor_waiting_for_input() -> None:
    assert busy_ticks(STAT) == {0: 10 + 1 + 2 + 3 + 4 + 5, 1: 20}


def test_the_least_busy_cores_are_chosen_and_of_equals_the_last() -> None:
    before = dict.fromkeys(range(4), 100)
    assert chosen(before, {0: 100, 1: 105, 2: 100, 3: 101}, {0, 1, 2, 3}, 1) == (2,)
    assert chosen(before, {0: 100, 1: 105, 2: 100, 3: 101}, {0, 1, 2, 3}, 2) == (0, 2)
    assert chosen(before, {0: 100, 1: 105, 2: 100, 3: 101}, {1, 3}, 1) == (3,)
    assert chosen(before, before, {0, 1, 2, 3}, 2) == (2, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="cores are pinned on Linux only")
def test_every_thread_is_pinned_and_set_free_again() -> None:
    before, seen, asked, done = os.sched_getaffinity(0), set[int](), threading.Event(), threading.Event()

    def look() -> None:
        asked.wait()
        seen.update(os.sched_getaffinity(0))
        done.set()

    thread = threading.Thread(target=look)
    thread.start()
    with pinned(1) as cores:
        assert os.sched_getaffinity(0) == set(cores)
        asked.set()
        done.wait()
    thread.join()
    assert seen == set(cores)
    assert len(cores) == 1
    assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(sys.platform != "linux", reason="cores are pinned on Linux only")
def test_more_threads_than_cores_are_not_pinned() -> None:
    before = os.sched_getaffinity(0)
    with pinned(len(before) + 1) as cores:
        assert os.sched_getaffinity(0) == before
    assert cores == ()


@pytest.mark.skipif(sys.platform != "linux", reason="cores are pinned on Linux only")
def test_cores_are_set_free_after_an_error() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError), pinned(1):
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == before
