"""Adaptive seeds, from the file to the plan, the table and the page: on made-up scores, and on real training runs."""

import contextlib
import json
import random

import pytest

from bench.analysis.summary import summarise
from bench.cli import main
from bench.report.page import page_of
from bench.report.table import table
from bench.results.bundle import write
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import AblationError, load
from bench.sweep.exporting import bundle_of
from bench.sweep.grouping import deciding_first, training_runs
from bench.sweep.plan import plan
from bench.sweep.reading import read_results

TEXT = """question: Which width is best?
architecture: fcn
baseline: {width: 0.25}
vary: {width: [0.5, 0.75, 1.0]}
metrics: [params, miou, boundary_iou]
main: miou
workload: {dataset: boundaries, shape: [3, 64, 64], batch: 8}
train: {steps: 20}
seeds: {min: 3, max: 10, until: decided}
"""
BASE, LARGE, NONE, SMALL = (f"fcn(width={width},classes=2)" for width in ("0.25", "0.5", "0.75", "1"))
MEANS = {BASE: 0.5, LARGE: 0.9, NONE: 0.5, SMALL: 0.53}
"""True scores: far better than the baseline, the same, and better by 1.5 standard deviations over seeds."""
SPREAD = 0.02


def asked(folder, *overrides, text=TEXT):
    (folder / "asked.yaml").write_text(text)
    return load(folder / "asked.yaml", overrides)


def score(name, metric, seed):
    return MEANS[name] + random.Random(f"{name} {metric} {seed}").gauss(0, SPREAD)


def made_up(request, value=None, error=None):
    kind = request.kind == "accuracy"
    number = score(request.variant.name, request.metric, request.seed) if kind and value is None else value or 7.0
    samples = () if error else (number,)
    return Measurement(request.key, request.variant, request.workload, request.metric, "1", "higher", samples, True,
                       request.seed, 1.0, {}, error)  # fmt: skip


def add(store, requests, **how):
    store.add([(made_up(request, **how), request.kind, request.parts) for request in requests])


def measured(ablation, store, first=None):
    """Make up what is due, look after look; with `first`, only so many measurements."""
    asked_for = []
    while due := plan(ablation, store).due:
        chosen = due[: first - len(asked_for)] if first else due
        add(store, chosen)
        asked_for += [request.key for request in chosen]
        if first and len(asked_for) >= first:
            break
    return asked_for


def seeds_by_variant(planned):
    counts = {}
    for request in planned.requests:
        if request.seed is not None:
            counts.setdefault(request.variant.name, set()).add(request.seed)
    return {name: len(seeds) for name, seeds in counts.items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adaptive")
    ablation = asked(folder)
    with Store(folder / "s.sqlite") as store:
        keys = measured(ablation, store)
        yield ablation, store, keys


def test_a_decided_comparison_gets_no_more_seeds(finished):
    ablation, store, _ = finished
    planned = plan(ablation, store)
    counts = seeds_by_variant(planned)
    assert counts[LARGE] == 3
    assert counts[NONE] == counts[BASE] == 10
    assert (planned.look, planned.count("due")) == (4, 0)
    assert len(planned.later) == 2 * sum(10 - count for count in counts.values())


def test_each_comparison_keeps_the_verdict_and_the_interval_of_its_look(finished):
    ablation, store, _ = finished
    looks = summarise(read_results(ablation, store)).looks
    with Store(store.path.parent / "three.sqlite") as other:
        add(other, [r for r in plan(ablation, other).at_most.requests if r.seed is None or r.seed < 3])
        early = summarise(read_results(ablation, other))
    assert early.looks.taken == 1
    assert early.looks.waits
    assert early.deltas[LARGE, "miou"] == looks.table[LARGE, "miou"]
    assert looks.table[LARGE, "miou"].verdict == "better"
    assert looks.table[LARGE, "miou"].level == pytest.approx(1 - early.looks.rule.differs(0.05 / 3))
    assert early.deltas[NONE, "miou"].verdict == "inconclusive"
    assert looks.table[NONE, "miou"].contrast.seeds == 10
    assert {e.verdict for e in looks.endings if e.variants[0] == NONE} == {"inconclusive"}


def test_an_interrupted_run_gets_the_same_seeds(finished, tmp_path):
    ablation, store, keys = finished
    for stop in (7, 25, 33):
        with Store(tmp_path / f"{stop}.sqlite") as other:
            first = measured(ablation, other, first=stop)
            rest = measured(ablation, other)
            assert first + rest == keys
            assert table_of(ablation, other) == table_of(ablation, store)


def test_scores_of_further_seeds_change_nothing(finished, tmp_path):
    """Decisions are made at the looks: seeds beyond them, of an earlier run with fixed seeds, are not looked at."""
    ablation, store, _ = finished
    with Store(tmp_path / "s.sqlite") as other:
        add(other, plan(ablation, other).at_most.requests)
        assert table_of(ablation, other) == table_of(ablation, store)
        assert not plan(ablation, other).due


def table_of(ablation, store):
    return table(read_results(ablation, store), "json")


def test_a_failed_seed_stops_its_comparison(tmp_path):
    ablation = asked(tmp_path)
    with Store(tmp_path / "s.sqlite") as store:
        due = plan(ablation, store).due
        failed = [r for r in due if r.seed == 1 and r.variant.name in (NONE, SMALL)]
        add(store, failed, error="diverged: at step 3: loss nan")
        add(store, [request for request in due if request not in failed])
        assert not plan(ablation, store).due
        rows = summarise(read_results(ablation, store)).looks
    assert set(rows.counts.values()) == {3}
    assert [ending.verdict for ending in rows.endings] == ["better", "broken", "broken"]


def test_variants_with_equal_scores_are_the_same_and_stop(tmp_path):
    ablation = asked(tmp_path, "vary.width=[0.75]")
    with Store(tmp_path / "s.sqlite") as store:
        while due := plan(ablation, store).due:
            for request in due:
                add(store, [request], value=0.5 + 0.001 * (request.seed or 0) if request.kind == "accuracy" else None)
        looks = summarise(read_results(ablation, store)).looks
    assert [ending.verdict for ending in looks.endings] == ["same"]


def test_answers_and_claims_ask_for_seeds_too(tmp_path):
    claims = '\nanswers:\n  - {compare: "width=1", with: "width=0.75"}\n'
    claims += 'claims:\n  - {says: "boundary_iou[width=0.75] > 0.52"}\n  - {says: "miou[width=0.5] > miou"}\n'
    ablation = asked(tmp_path, text=TEXT + claims)
    with Store(tmp_path / "s.sqlite") as store:
        measured(ablation, store)
        summary = summarise(read_results(ablation, store))
    asked_for = {(ending.metric, ending.variants, bool(ending.claim)) for ending in summary.looks.endings}
    assert ("miou", (SMALL, NONE), False) in asked_for
    assert ("boundary_iou", (NONE,), True) in asked_for
    assert not any(ending.claim.startswith("miou") for ending in summary.looks.endings)
    assert summary.claims[1].answer == "reproduced"
    assert summary.claims[1].comparisons[0].interval == summary.deltas[LARGE, "miou"].interval
    pair = summary.answers("miou")[SMALL, NONE]
    assert pair == summary.looks.planned["miou", SMALL, NONE] == summary.difference(SMALL, NONE, "miou")


def test_the_table_and_the_page_say_how_many_looks_there_were_and_why_each_variant_stopped(finished):
    ablation, store, _ = finished
    results = read_results(ablation, store)
    text = table(results, "md")
    assert "looks at 3, 5, 8 and 10; 4 looks were taken" in text
    assert "of at most 40 training runs" in text
    assert "better (look 1 of 4, 3 seeds)" in text
    assert "has the most seeds; inconclusive" in text
    rows = [json.loads(line) for line in table(results, "json").splitlines()]
    seeds = {row["variant"]: row for row in rows if row["status"] == "seeds"}
    assert seeds[LARGE]["value"] == 3
    assert seeds[LARGE]["comparisons"] == [
        {"metric": "miou", "variants": [LARGE, BASE], "claim": None, "verdict": "better", "look": 1, "seeds": 3}
    ]
    page = page_of(results, most=0)
    assert page.looks.heads == ("variant", "seeds", "why no more")
    assert [row[1] for row in page.looks.rows] == [str(each) for each in summarise(results).looks.counts.values()]
    assert "3 to 10 seeds" in [chip.text for chip in page.chips]


def test_a_bundle_is_read_without_the_store(finished, tmp_path):
    ablation, store, _ = finished
    bundle, missing = bundle_of(ablation, store, None)
    folder = write(bundle, tmp_path / "bundle")
    with Store(tmp_path / "empty.sqlite") as empty:
        bundled = read_results(ablation, empty, bundle=folder)
    assert (missing, bundled.missing) == (0, 0)
    assert table(bundled, "csv") == table(read_results(ablation, store), "csv")


def said(capsys, *arguments):
    with contextlib.suppress(SystemExit):
        main([str(each) for each in arguments])
    return capsys.readouterr()


def test_plan_and_dry_run_say_the_range(tmp_path, capsys):
    asked(tmp_path)
    arguments = [tmp_path / "asked.yaml", "--store", tmp_path / "s.sqlite"]
    planned = said(capsys, "plan", *arguments)
    assert "12 trainings" in planned.out
    assert "until decided: 12 to 40 trainings" in planned.out
    assert planned.out.count("\nlater ") == 2 * 28
    assert "adaptive seeds: 3 to 10, until decided (looks at 3, 5, 8 and 10)" in planned.err
    assert "12 to 40 trainings" in said(capsys, "run", "--dry-run", *arguments).out
    fixed = said(capsys, "run", "--dry-run", "--seeds", 2, *arguments).out
    assert "8 trainings" in fixed
    assert "until decided" not in fixed


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (
            "{min: 3, max: 3}",
            r"asked.yaml:9:17: 'seeds.max' \(3\) must be above 'seeds.min' \(3\); for one number: seeds: 3",
        ),
        ("{min: 1, max: 3}", "'seeds.min': input should be greater than or equal to 2, not 1"),
        ("{min: 3}", "key 'seeds.max' is missing"),
        ("{min: 3, max: 10, until: bored}", "'seeds.until': input should be 'decided'"),
        ("{min: 3, max: 5, looks: 4}", "from 3 to 5 seeds there are at most 3 looks, not 4"),
        ("{min: 3, max: 10, most: 4}", "there is no key 'most', did you mean 'max'|there is no key 'most'"),
        ("{min: 3, max: 20000}", "'seeds' is at most 10000"),
    ],
)
def test_what_is_wrong_with_adaptive_seeds_is_refused_with_its_place(tmp_path, seeds, message):
    with pytest.raises(AblationError, match=message):
        asked(tmp_path, text=TEXT.replace("{min: 3, max: 10, until: decided}", seeds))


@pytest.mark.parametrize(
    ("seeds", "sizes"),
    [("{min: 2, max: 3}", (2, 3)), ("{min: 3, max: 6}", (3, 4, 5, 6)), ("{min: 3, max: 10, looks: 2}", (3, 10))],
)
def test_the_looks_are_spread_from_the_least_to_the_most(tmp_path, seeds, sizes):
    assert asked(tmp_path, text=TEXT.replace("{min: 3, max: 10, until: decided}", seeds)).adaptive.sizes == sizes


PATH = TEXT.replace(
    "vary: {width: [0.5, 0.75, 1.0]}", "path: {to: {stride: 8, skips: true, width: 0.5}, order: [width, stride, skips]}"
).replace("baseline: {width: 0.25}", "baseline: {width: 0.25, stride: 32, skips: false}")


def test_a_path_is_a_race_of_its_steps(tmp_path):
    """The first step is large, the second is nothing, the third is large: only the second one goes on."""
    ablation = asked(tmp_path, text=PATH)
    start, first, second, third = (variant.name for variant in ablation.variants)
    assert ablation.steps == ablation.answers == ((first, start), (second, first), (third, second))
    means = {start: 0.2, first: 0.5, second: 0.5, third: 0.9}
    with Store(tmp_path / "s.sqlite") as store:
        while due := plan(ablation, store).due:
            for request in due:
                known = request.kind == "accuracy"
                noise = score(LARGE, request.variant.name, request.seed) - MEANS[LARGE] if known else 0.0
                add(store, [request], value=means[request.variant.name] + noise / 4 if known else None)
        summary = summarise(read_results(ablation, store))
    looks = summary.looks
    ended = {ending.variants: (ending.verdict, ending.look.size) for ending in looks.endings}
    assert set(ended) == {(first, start), (second, first), (third, second)}
    assert ended[first, start] == ("better", 3)
    assert ended[third, second] == ("better", 3)
    assert ended[second, first][1] > 3
    assert (looks.counts[start], looks.counts[third]) == (3, 3)
    assert looks.counts[first] == looks.counts[second] == ended[second, first][1]
    assert list(summary.answers("miou")) == [*ablation.answers]


def test_the_variants_that_answers_compare_are_trained_first(tmp_path):
    ablation = asked(tmp_path, text=TEXT + '\nanswers:\n  - {compare: "width=1", with: "width=0.75"}\n')
    with Store(tmp_path / "s.sqlite") as store:
        runs = training_runs([request for request in plan(ablation, store).due if request.kind == "accuracy"])
    ordered = [group[0].variant.name for group in deciding_first(runs, ablation.answers)]
    assert ordered == [NONE] * 3 + [SMALL] * 3 + [BASE] * 3 + [LARGE] * 3


def test_a_path_with_answers_of_its_own_has_these(tmp_path):
    ablation = asked(
        tmp_path, text=PATH + '\nanswers:\n  - {compare: "stride=8,skips=true,width=0.5", with: baseline}\n'
    )
    assert len(ablation.answers) == 1
    assert ablation.steps == ()
