"""A path whose order the results choose: on made-up scores, from the file to the plan, the table and a bundle."""

import random

import pytest

from bench.analysis.looks import looks_at
from bench.cli import main
from bench.report.table import table
from bench.results.bundle import write
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import AblationError, load
from bench.sweep.exporting import bundle_of
from bench.sweep.plan import plan
from bench.sweep.reading import read_results
from bench.sweep.running import Job, run_all

TEXT = """question: In which order do the components help?
architecture: fcn
baseline: {stride: 32, skips: false, width: 0.25}
path: {to: {stride: 8, skips: true, width: 1.0}, order: greedy}
metrics: [params, miou]
main: miou
workload: {dataset: boundaries, shape: [3, 64, 64], batch: 8}
train: {steps: 20}
seeds: 3
"""
ADAPTIVE = TEXT.replace("seeds: 3", "seeds: {min: 3, max: 10, until: decided}")
SPREAD = 0.01


def truth(axes):
    """Skips help by 0.10 alone, and the stride by 0.05; with skips the width helps most."""
    skips, fine, wide = axes["skips"], axes["stride"] == 8, axes["width"] == 1.0
    return 0.4 + 0.10 * skips + 0.05 * fine + (0.12 if skips else 0.01) * wide


def score(variant, seed, spread=SPREAD):
    return truth(dict(variant.axes)) + random.Random(f"{variant.name} {seed}").gauss(0, spread)


def made_up(request, value=None, error=None, score=score):
    kind = request.kind == "accuracy"
    number = (score(request.variant, request.seed) if kind else 7.0) if value is None else value
    return Measurement(request.key, request.variant, request.workload, request.metric, "1", "higher",
                       () if error else (number,), True, request.seed, 1.0, {}, error)  # fmt: skip


def add(store, requests, **how):
    store.add([(made_up(request, **how), request.kind, request.parts) for request in requests])


def measured(ablation, store, first=None, **how):
    """Make up what is due, step after step; with `first`, only so many measurements. The keys in their order."""
    keys = []
    while due := plan(ablation, store).due:
        chosen = due[: first - len(keys)] if first else due
        add(store, chosen, **how)
        keys += [request.key for request in chosen]
        if first and len(keys) >= first:
            break
    return keys


def asked(folder, text=TEXT, *overrides):
    (folder / "asked.yaml").write_text(text)
    return load(folder / "asked.yaml", overrides)


def points(ablation):
    """(stride, skips, width) of each variant."""
    return [tuple(dict(variant.axes)[name] for name in ("stride", "skips", "width")) for variant in ablation.variants]


def table_of(ablation, store):
    return table(read_results(ablation, store), "json")


FIRST = [(32, False, 0.25), (8, False, 0.25), (32, True, 0.25), (32, False, 1.0)]
SECOND, LAST = [(8, True, 0.25), (32, True, 1.0)], [(8, True, 1.0)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("greedy")
    ablation = asked(folder)
    with Store(folder / "s.sqlite") as store:
        yield ablation, store, measured(ablation, store)


def test_a_file_has_the_first_step_until_its_scores_are_there(tmp_path):
    ablation = asked(tmp_path)
    assert points(ablation) == FIRST
    with Store(tmp_path / "s.sqlite") as store:
        due = plan(ablation, store).due
        assert len(due) == 4 + 4 * 3
        add(store, due[:-1])
        assert points(plan(ablation, store).ablation) == FIRST
        add(store, due[-1:])
        planned = plan(ablation, store)
        assert points(planned.ablation) == FIRST + SECOND
        assert "greedy path by miou: skips; step 2 of 3 is open" in planned.ablation.remarks


def test_each_step_takes_the_best_component_on_what_was_reached(finished):
    ablation, store, keys = finished
    walked = plan(ablation, store).ablation
    assert walked.greedy.taken == ("skips", "width", "stride")
    assert points(walked) == FIRST + SECOND + LAST
    assert len(keys) == len(set(keys)) == 7 * 4
    names = [walked.baseline.name, *(each.name for each in walked.greedy.chosen)]
    assert walked.answers == walked.steps == tuple(zip(names[1:], names[:-1], strict=True))


def test_the_table_has_every_variant_that_was_tried_and_says_the_order(finished):
    ablation, store, _ = finished
    results = read_results(ablation, store)
    assert results.missing == 0
    assert "greedy path by miou: skips > width > stride" in results.notes
    assert len(results.variants) == 7


@pytest.mark.parametrize("stop", [1, 9, 16, 20, 27])
def test_an_interrupted_run_takes_the_same_path(finished, tmp_path, stop):
    ablation, store, keys = finished
    with Store(tmp_path / "s.sqlite") as other:
        assert measured(ablation, other, first=stop) + measured(ablation, other) == keys
        assert table_of(ablation, other) == table_of(ablation, store)


def test_a_metric_for_which_lower_is_better_and_that_needs_no_seed_chooses_too(tmp_path):
    ablation = asked(tmp_path, TEXT.replace("main: miou", "main: params"))
    with Store(tmp_path / "s.sqlite") as store:
        costs = {"stride": 3.0, "skips": 2.0, "width": 9.0}
        while due := plan(ablation, store).due:
            for request in due:
                values, base = dict(request.variant.axes), dict(ablation.baseline.axes)
                cost = sum(cost for name, cost in costs.items() if values[name] != base[name])
                row = made_up(request, value=cost if request.metric == "params" else None)
                store.add([(Measurement(**{**vars(row), "better": "lower"}), request.kind, request.parts)])
        assert plan(ablation, store).ablation.greedy.taken == ("skips", "stride", "width")


def test_a_candidate_that_failed_is_not_taken_and_one_that_is_excluded_not_tried(tmp_path):
    ablation = asked(tmp_path, TEXT + "exclude: [{when: {stride: 8, skips: false, width: 1.0}, because: no}]\n")
    with Store(tmp_path / "s.sqlite") as store:
        for request in plan(ablation, store).due:
            failed = dict(request.variant.axes)["skips"] and request.seed == 1
            add(store, [request], error="diverged: loss is nan" if failed else None)
        planned = plan(ablation, store)
        assert planned.ablation.greedy.taken == ("stride",)
        assert points(planned.ablation) == [*FIRST, (8, True, 0.25)]
        measured(ablation, store)
        assert plan(ablation, store).ablation.greedy.taken == ("stride", "skips", "width")


def test_no_step_follows_where_every_candidate_failed(tmp_path):
    ablation = asked(tmp_path)
    with Store(tmp_path / "s.sqlite") as store:
        add(store, plan(ablation, store).due, error="failed: RuntimeError")
        planned = plan(ablation, store)
        assert (planned.due, planned.ablation.greedy.taken) == ((), ())


def test_a_race_gives_no_more_seeds_where_the_order_is_decided(tmp_path):
    ablation = asked(tmp_path, ADAPTIVE)
    with Store(tmp_path / "s.sqlite") as store:
        keys = measured(ablation, store, score=lambda variant, seed: score(variant, seed, 0.002))
        planned = plan(ablation, store)
        assert planned.ablation.greedy.taken == ("skips", "width", "stride")
        counts = planned.ablation.raced
        assert set(counts.values()) == {3}, "differences of 0.04 and more at a spread of 0.002 are decided at once"
        assert len(keys) == 7 * 4
        assert looks_at(read_results(ablation, store)).counts == counts
        assert read_results(ablation, store).missing == 0


def test_a_race_between_near_candidates_gives_seeds_to_those_alone(tmp_path):
    """Stride and skips are equal, at a spread that no margin covers; the width is far behind."""

    def near(variant, seed):
        axes = dict(variant.axes)
        gains = 0.2 * axes["skips"] + 0.2 * (axes["stride"] == 8) - 0.2 * (axes["width"] == 1.0)
        return 0.4 + gains + random.Random(f"{variant.name} {seed}").gauss(0, 0.04)

    ablation = asked(tmp_path, ADAPTIVE)
    with Store(tmp_path / "s.sqlite") as store:
        measured(ablation, store, score=near)
        raced = plan(ablation, store).ablation.raced
        names = [variant.name for variant in ablation.variants]
        assert [raced[name] for name in names] == [10, 10, 10, 3], "the baseline has as many as the best of the step"
        runs = {(r.variant, r.seed) for r in plan(ablation, store).requests if r.seed is not None}
        assert len(runs) == sum(raced.values())
        steps = plan(ablation, store).ablation.greedy.taken
        with Store(tmp_path / "all.sqlite") as other:
            add(other, plan(asked(tmp_path, ADAPTIVE), other).at_most.requests, score=near)
            assert plan(ablation, other).ablation.greedy.taken[:1] == steps[:1], "later seeds are not looked at"


def test_a_bundle_has_the_path_and_is_read_without_the_store(finished, tmp_path):
    ablation, store, _ = finished
    write(bundle_of(ablation, store, None)[0], tmp_path / "bundle")
    with Store(tmp_path / "empty.sqlite") as empty:
        results = read_results(ablation, empty, bundle=tmp_path / "bundle")
        assert plan(ablation, empty).ablation.greedy.taken == ()
    assert results.missing == 0
    assert len(results.variants) == 7
    assert "greedy path by miou: skips > width > stride" in results.notes


PLUGIN = """
from bench.registry import architecture, metric

@architecture(task="none", source="nobody")
def plain(*, a: bool = False, b: bool = False, c: bool = False):
    return 3 * b + 2 * c + a + 5 * (a and b)

@metric(unit="px", better="higher", kind="static")
def total(subject):
    return subject.build()
"""
PLAIN = """
question: q
architecture: plain
path: {to: {a: true, b: true, c: true}, order: greedy}
metrics: [total]
main: total
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_one_run_measures_every_step(tmp_path, workers):
    (tmp_path / "plug.py").write_text(PLUGIN)
    (tmp_path / "asked.yaml").write_text(PLAIN)
    ablation = load(tmp_path / "asked.yaml", plugins=[str(tmp_path / "plug.py")])
    with Store(tmp_path / "s.sqlite") as store:
        job = Job([ablation], store, None, workers=workers, verbosity=-1)
        assert not run_all(job, lambda plan: None, lambda plan: None)
        walked = plan(ablation, store).ablation
        assert walked.greedy.taken == ("b", "a", "c")
        values = {each.measurement.variant.name: each.measurement.value for each in store.records()}
        assert len(values) == 7
        assert "plain(a=true,b=false,c=true)" not in values


def test_plan_says_how_many_runs_the_later_steps_take_at_most(tmp_path, capsys):
    asked(tmp_path)
    with Store(tmp_path / "s.sqlite"):
        pass
    main(["plan", str(tmp_path / "asked.yaml"), "--store", str(tmp_path / "s.sqlite")])
    assert "greedy path: step 1 of 3, at most 9 trainings more in later steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("main: miou\n", ""), r"yaml:4:\d+: a greedy path needs 'main', by which each step is decided"),
        (("order: greedy", "order: gredy"), r"'path.order'.*'greedy'"),
        (("seeds: 3", "tune: {over: {train.lr: [0.1, 0.2]}}"), "a greedy path and 'tune' exclude each other"),
    ],
)
def test_faults_of_a_greedy_path_say_what_would_work(tmp_path, change, message):
    with pytest.raises(AblationError, match=message):
        asked(tmp_path, TEXT.replace(*change))
