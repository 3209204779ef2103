import os
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from bench.hardware.process import identity
from bench.results.frame import load as load_frame_at
from bench.results.keys import difference, requests
from bench.results.store import Store
from bench.spec.ablation import load as load_ablation
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors import Progress
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.forecast import forecast_of
from bench.sweep.settings import Began, Kept

BASE = """
question: Does it?
architecture: trivial
metrics: [twice]
"""


def load_frame(store):
    return load_frame_at(store.path)


def values(store):
    frame = load_frame(store)
    return {(v, m): x for v, m, x in zip(frame["variant"], frame["metric"], frame["value"])}


def test_what_is_missing_is_measured_and_nothing_twice(load, run, store):
    ablation = load(BASE + "grid: {a: [1, 2, 3]}")
    _, first = run(ablation)
    assert (first.measured, first.failed, first.left) == (4, 0, 0)
    assert values(store)["trivial(a=3)", "twice"] == 6
    plan, second = run(ablation)
    assert (plan.count("cached"), second.measured) == (4, 0)
    plan, third = run(load(BASE + "grid: {a: [1, 2, 3, 9]}"))
    assert (plan.count("cached"), third.measured) == (4, 1)


def test_a_death_costs_its_own_cell_only_and_rerun_repairs(load, run, store):
    ablation = load(BASE.replace("[twice]", "[deadly, twice]") + "grid: {a: [1, 2, 3, 4, 6, 7]}\n")
    _, summary = run(ablation)
    frame = load_frame(store).set_index(["variant", "metric"])
    assert summary.failed == 4
    killed = "died: killed by SIGKILL (was it out of memory?)"
    assert frame.loc[("trivial(a=2)", "deadly"), "error"] == killed
    assert frame.loc[("trivial(a=3)", "deadly"), "error"] == "died: killed by SIGSEGV"
    assert (
        frame.loc[("trivial(a=4)", "deadly"), "error"]
        == "failed: ValueError: four is right out (tests/bench/trivial.py:47)"
    )
    assert frame.loc[("trivial(a=6)", "deadly"), "error"] == "oom: out of memory"
    assert frame["value"].notna().sum() == 10
    assert len(frame) == 14
    plan, again = run(ablation)
    assert (plan.count("failed"), again.measured) == (4, 0)
    plan, some = run(ablation, rerun=("oom",))
    assert (plan.count("due"), some.measured) == (1, 1)
    plan, every = run(ablation, rerun=("failed",))
    assert (plan.count("due"), every.measured, every.failed) == (4, 4, 4)
    assert len(load_frame(store)) == 14


def test_a_cell_that_hangs_is_ended(load, run, store):
    _, summary = run(load(BASE.replace("[twice]", "[deadly]") + "baseline: {a: 5}\ntimeout: 1.5\n"))
    assert (summary.measured, summary.failed) == (1, 1)
    assert list(load_frame(store)["error"]) == ["timeout: no result within 1.5 s"]


def test_force_measures_again_and_keeps_the_old_as_history(load, run, store):
    ablation = load(BASE + "vary: {a: [1]}")
    run(ablation)
    _, summary = run(ablation, force=True)
    assert summary.measured == 2
    assert len(load_frame(store)) == 2
    assert len(list(store.parts("trivial", "twice"))) == 4


def test_speed_cells_run_alone(load, run, store, tmp_path):
    text = BASE.replace("[twice]", "[pulse, twice]") + f"baseline: {{log: {tmp_path}/pulse}}\ngrid: {{a: [1, 2, 3, 4]}}"
    _, summary = run(load(text))
    assert summary.failed == 0
    marks = [line.split()[0] for line in (tmp_path / "pulse").read_text().splitlines()]
    assert marks == ["+", "-"] * 5
    assert load_frame(store).query("metric == 'pulse'")["sample"].max() == 2


def test_a_budget_stops_dispatching_and_says_what_is_left(load, run):
    ablation = load(BASE + "grid: {a: [1, 2, 3]}")
    _, summary = run(ablation, budget=0.0)
    assert (summary.measured, summary.left, summary.stopped) == (0, 4, "budget")


def test_two_runs_at_once_share_the_work(load, tmp_path):
    ablation = load(BASE + "grid: {a: " + str(list(range(1, 60))) + "}")
    path, summaries = tmp_path / "shared.sqlite", []

    def one():
        with Store(path) as store:
            executor = LocalExecutor(1)
            try:
                summaries.append(sweep.run(planning.plan(ablation, store), store, executor))
            finally:
                executor.stop()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frame = load_frame_at(path)
    assert len(frame) == 60
    assert not frame["key"].duplicated().any()
    assert all(s.left == 0 for s in summaries)


def test_cells_that_a_dead_run_had_claimed_are_taken_over(load, run, store):
    ablation = load(BASE + "grid: {a: [1, 2]}")
    store.claim([c.key for c in requests(ablation, {})], "999999@gone", lambda owner: True)
    _, summary = run(ablation)
    assert summary.measured == 3


def test_cells_that_a_living_run_has_claimed_are_waited_for(load, run, store):
    ablation = load(BASE + "grid: {a: [1, 2]}")
    held = next(iter(requests(ablation, {}))).key
    other = identity(os.getppid())
    store.claim([held], other, lambda owner: True)
    releasing = threading.Timer(1.0, release, (store.path, other))
    releasing.start()
    _, summary = run(ablation)
    assert (summary.measured, summary.left) == (3, 0)
    assert not releasing.is_alive(), "the measurement was measured while another living run had it"


def release(path, owner):
    with Store(path) as store:
        store.release(owner)


def test_the_plan_estimates_from_what_was_measured_before(load, run, store):
    ablation = load(BASE + "grid: {a: [1, 2, 3]}")
    assert forecast_of(planning.plan(ablation, store), store).unknown == 4
    run(ablation)
    later = forecast_of(planning.plan(load(BASE + "grid: {a: [4, 5]}"), store), store)
    assert later.unknown == 0
    assert later.total().seconds > 0


# Keys: a measurement is measured again exactly when something that its value depends on has changed.


def keys(ablation, fingerprint=None):
    return {(c.variant.name, c.metric, c.seed): c.key for c in requests(ablation, fingerprint or {})}


SPEED = "question: q\narchitecture: trivial\nmetrics: [pulse]\n"
TRAINED = "question: q\narchitecture: fcn\nmetrics: [miou, pixel_accuracy]\nworkload: {dataset: context}\n"


@pytest.mark.parametrize(
    ("text", "change", "moves"),
    [
        (BASE, "workload.shape=[3, 32, 32]", True),
        (BASE, "workload.batch=7", False),
        (BASE, "workload.threads=2", False),
        (BASE, "workload.dtype=float64", False),
        (BASE, "workload.layout=channels_last", False),
        (BASE, "workload.compile=true", False),
        (BASE, "train.steps=7", False),
        (BASE, "seeds=5", False),
        (BASE, "question=Another?", False),
        (BASE, "timeout=7", False),
        (SPEED, "workload.batch=7", True),
        (SPEED, "workload.threads=2", True),
        (SPEED, "workload.dtype=float64", True),
        (SPEED, "workload.layout=channels_last", True),
        (SPEED, "workload.compile=true", True),
        (SPEED, "train.steps=7", False),
        (TRAINED, "train.steps=7", True),
        (TRAINED, "train.lr=0.5", True),
        (TRAINED, "workload.shape=[3, 96, 96]", True),
        (TRAINED, "workload.batch=7", False),
        (TRAINED, "workload.threads=2", False),
        (TRAINED, "workload.layout=channels_last", False),
        (TRAINED, "workload.compile=true", False),
        (TRAINED, "workload.dataset={name: context, distance: 10}", True),
        (TRAINED, "workload.dataset=boundaries", True),
    ],
)
def test_a_key_moves_with_what_the_value_depends_on_and_with_nothing_else(load, text, change, moves):
    before, after = keys(load(text)), keys(load(text, change))
    shared = before.keys() & after.keys()
    assert shared
    assert all((before[k] != after[k]) is moves for k in shared)


def test_seed_and_data_are_part_of_an_accuracy_key(load):
    ablation = load(TRAINED + "seeds: 2")
    assert len(set(keys(ablation).values())) == 4
    assert set(keys(ablation, {"train": "1"}).values()).isdisjoint(keys(ablation, {"train": "2"}).values())


def test_all_accuracy_metrics_of_a_variant_and_seed_share_a_trial(load):
    found = list(requests(load(TRAINED + "seeds: 2"), {}))
    assert len({c.training_run for c in found}) == 2
    assert len(found) == 4


def test_the_content_of_a_named_file_is_part_of_the_key_and_its_date_is_not(load, tmp_path):
    weights = tmp_path / "weights.pth"
    found = []
    for content in (b"one", b"one", b"another"):
        weights.write_bytes(content)
        os.utime(weights, (len(found), len(found)))
        found.append(set(keys(load(BASE, f"baseline.log=file:{weights}")).values()))
    assert found[0] == found[1]
    assert found[0].isdisjoint(found[2])


def test_the_content_of_a_file_that_a_task_reads_is_part_of_an_accuracy_key(load, tmp_path, monkeypatch):
    drawn = "question: q\narchitecture: made\nbaseline: {size: 16}\nmetrics: [bits_per_dim, fid_inception]\n"
    drawn += "workload: {dataset: sprites, shape: [1, 16, 16]}\n"
    monkeypatch.delenv("FOVBENCH_INCEPTION", raising=False)
    found = [set(keys(load(drawn)).values())]
    for number, content in enumerate((b"one", b"another")):
        named = tmp_path / str(number)
        named.write_bytes(content)
        monkeypatch.setenv("FOVBENCH_INCEPTION", str(named))
        found.append(set(keys(load(drawn)).values()))
    assert len(set.union(*found)) == sum(len(f) for f in found)


def test_a_changed_source_moves_the_key_and_a_changed_comment_does_not(tmp_path, write):
    original = (Path(__file__).parents[1] / "trivial.py").read_text()
    path = tmp_path / "family.py"
    keys_by_text = []
    for number, text in enumerate(
        (original, "# a comment\n" + original, original.replace("2 * subject", "3 * subject"))
    ):
        path = tmp_path / str(number) / "family.py"
        path.parent.mkdir()
        path.write_text(text)
        request = next(iter(requests(load_ablation(write(BASE), plugins=[str(path)]), {})))
        keys_by_text.append(request.key)
    assert keys_by_text[0] == keys_by_text[1]
    assert keys_by_text[0] != keys_by_text[2]


def test_the_difference_of_two_keys_is_said_part_by_part():
    old = {"axes": {"a": 1, "b": [2]}, "shape": [3], "gone": 1}
    new = {"axes": {"a": 2, "b": (2,)}, "shape": [3]}
    assert list(difference(new, old)) == ["axes.a: 1 -> 2", "gone: 1 -> absent"]


def test_progress_reaches_whoever_listens(load, run):
    heard = []
    run(load(BASE + "grid: {a: [1, 2]}"), notify=heard.append)
    assert isinstance(heard[0], Began)
    assert heard[0].requests == 3
    assert sum(len(e.measurements) for e in heard if isinstance(e, Kept)) == 3
    assert not [e for e in heard if isinstance(e, Progress)]


def test_a_result_that_cannot_be_kept_costs_its_own_cell_only(load, run, store):
    _, summary = run(load(BASE.replace("[twice]", "[odd_result, twice]") + "grid: {a: [1, 2, 3, 4]}"))
    frame = load_frame(store).set_index(["variant", "metric"]).sort_index()
    assert summary.failed == 3
    assert "nan, which is not a finite number" in frame.loc[("trivial(a=1)", "odd_result"), "error"]
    assert "what is of type object" in frame.loc[("trivial(a=2)", "odd_result"), "error"]
    assert "the metric gave 'many' of type str" in frame.loc[("trivial(a=3)", "odd_result"), "error"]
    assert sorted(frame.loc[("trivial(a=4)", "odd_result"), "value"]) == [4, 5]
    assert frame.xs("twice", level="metric")["error"].isna().all()


def test_a_death_is_seen_though_a_child_holds_the_pipe(load, run, store):
    _, summary = run(load(BASE.replace("[twice]", "[forking]") + "timeout: 25\n"))
    assert summary.failed == 1
    assert list(load_frame(store)["error"]) == ["died: killed by SIGSEGV"]


def test_a_moved_plugin_keeps_its_keys_and_what_it_imports_from_beside_itself_counts(tmp_path, write):
    original = (Path(__file__).parents[1] / "trivial.py").read_text() + "\nfrom helper import VALUE\n"
    found = []
    for folder, value in (("one", 1), ("two", 1), ("three", 2)):
        path = tmp_path / folder / "family.py"
        path.parent.mkdir()
        path.write_text(original)
        (path.parent / "helper.py").write_text(f"VALUE = {value}\n")
        found.append(next(iter(requests(load_ablation(write(BASE), plugins=[str(path)]), {}))).key)
    assert found[0] == found[1] != found[2]


def test_a_timing_waits_its_turn_says_so_and_is_not_overtaken(tmp_path):
    """One run keeps the device busy, a second one waits to time on it; a third job comes later and waits behind it."""
    busy, timing, late = (LocalExecutor(1) for _ in range(3))
    order, over = tmp_path / "order", tmp_path / "over"
    try:
        first = busy.submit(partial(until, over), started := Received(), timeout=300)
        started.wait_for("begun")
        alone = timing.submit(partial(note, order, "timing"), ours := Received(), timeout=300, lane="exclusive")
        ours.wait_for("waiting for cpu: another run uses it, and a timing needs it exclusively")
        after = late.submit(partial(note, order, "late"), theirs := Received(), timeout=300)
        theirs.wait_for("waiting for cpu: another run measures a time, or waits to measure one")
        over.touch()
        assert [f.result().error for f in (first, alone, after)] == [None] * 3
    finally:
        for executor in (busy, timing, late):
            executor.stop()
    assert order.read_text().split() == ["timing", "late"]


def test_a_look_at_networks_waits_for_a_timing_of_another_run_and_says_so(load, run, tmp_path):
    others, over = LocalExecutor(1), tmp_path / "over"

    def notify(event):
        if isinstance(event, Progress) and "waiting for cpu" in event.label:
            over.touch()

    try:
        timing = others.submit(partial(until, over), started := Received(), timeout=300, lane="exclusive")
        started.wait_for("begun")
        _, summary = run(load(BASE + "vary: {a: [1]}"), notify=notify)
        assert timing.result().error is None
    finally:
        others.stop()
    assert (summary.measured, summary.failed) == (2, 0)


class Received(list):
    """What a job sent: its own items, and the labels of its progress."""

    def __call__(self, item):
        self.append(item.label if isinstance(item, Progress) else item)

    def wait_for(self, item, seconds=120):
        """Raises TimeoutError where it does not come: a guard against a test without end, not a measurement."""
        ends = time.monotonic() + seconds
        while item not in self:
            if time.monotonic() > ends:
                raise TimeoutError(f"no {item!r} within {seconds} s, only {list(self)}")
            time.sleep(0.02)


def until(path, emit):
    """Holds its device until there is such a file; an error after two minutes."""
    emit("begun")
    ends = time.monotonic() + 120
    while not path.exists():
        if time.monotonic() > ends:
            raise TimeoutError(path)
        time.sleep(0.02)


def note(path, word, emit):
    """Writes the word while it has the device: the order of messages from two processes would prove nothing."""
    with path.open("a") as file:
        print(word, file=file)
