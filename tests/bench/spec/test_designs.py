"""Designs: which variants each section makes, what the remarks say of them, and how faults are refused."""

import itertools
import math

import pytest

from bench.spec.ablation import AblationError
from bench.spec.designs import aberration, basic_factors, constant_words, generators, resolution

BASE = "question: q\narchitecture: fcn\nmetrics: [params]\nworkload: {dataset: context}\n"


def axes_of(ablation):
    """Each variant's values of the axes that differ."""
    return [tuple(dict(variant.axes)[name] for name in ablation.varied) for variant in ablation.variants]


def test_leave_out_removes_one_component_at_a_time(load):
    ablation = load(BASE + "baseline: {skips: true, width: 0.5}\nleave_out: {skips: false, width: 0.25}")
    assert axes_of(ablation) == [(True, 0.5), (False, 0.5), (True, 0.25)]
    assert ablation.varied == ("skips", "width")


def test_a_list_of_components_switches_them_off_or_on(load):
    off = load(BASE + "baseline: {skips: true}\nleave_out: [skips, train.augment]")
    assert axes_of(off) == [(True, True), (False, True), (True, False)]
    on = load(BASE + "baseline: {skips: false}\nadd_in: [skips]")
    assert axes_of(on) == [(False,), (True,)]


def test_a_path_changes_one_axis_after_the_other_in_its_order(load):
    text = BASE + "baseline: {stride: 32, skips: false}\npath: {to: {stride: 8, skips: true, train.lr: 0.1}}"
    assert axes_of(load(text)) == [
        (32, False, 0.003),
        (8, False, 0.003),
        (8, True, 0.003),
        (8, True, 0.1),
    ]
    other = load(text, "path.order=[train.lr, stride, skips]")
    assert axes_of(other)[1:] == [(32, False, 0.1), (8, False, 0.1), (8, True, 0.1)]
    assert "train.lr > stride > skips" in other.remarks[0]


FIVE = """baseline: {stride: 32, skips: false, width: 0.25, dataset.train_count: 64}
factorial: {stride: [32, 8], skips: [false, true], width: [0.25, 0.5], train.lr: [0.003, 0.1], dataset.train_count: [64, 128]}
"""


def test_a_factorial_design_is_balanced_and_contains_the_first_levels(load):
    ablation = load(BASE + FIVE)
    rows = axes_of(ablation)
    assert len(rows) == 16
    for one, other in itertools.combinations(
        range(5), 2
    ):  # strength of at least two: every pair of levels equally often
        pairs = [(row[one], row[other]) for row in rows]
        assert {pairs.count(pair) for pair in set(pairs)} == {4}
    assert "16 of 32 combinations, resolution V;" in ablation.remarks[0]


def test_the_count_chooses_the_resolution_and_the_remark_lists_the_aliases(load):
    ablation = load(BASE + FIVE, "factorial.count=8")
    assert len(ablation.variants) == 8
    assert "8 of 32 combinations, resolution III" in ablation.remarks[0]
    lengths = {len(line.split(" = ")[1].split(" x ")) for line in ablation.remarks[0].split("sign: ")[1].split("; ")}
    assert lengths == {2}
    full = load(BASE + FIVE, "factorial.count=32")
    assert len(full.variants) == 32
    assert "no two effects are aliases" in full.remarks[0]


def test_the_stated_aliases_are_those_of_the_design():
    """The product of two columns is that of the column, or of the two, that it is an alias of."""
    basic, chosen = 3, generators(6, 3)
    columns = [1, 2, 4, *chosen]
    runs = [[(-1) ** (run & column).bit_count() for column in columns] for run in range(8)]
    for word in constant_words(chosen, basic):
        assert {math.prod(row[i] for i in range(6) if word >> i & 1) for row in runs} in ({1}, {-1})


@pytest.mark.parametrize(
    ("factors", "count", "expected"),
    # Box, Hunter & Hunter, Statistics for Experimenters (2nd ed.), table 6.22
    [(3, 4, 3), (4, 8, 4), (5, 8, 3), (5, 16, 5), (6, 16, 4), (6, 32, 6), (7, 8, 3), (7, 16, 4), (7, 64, 7),
     (8, 16, 4), (8, 64, 5), (9, 32, 4), (10, 32, 4), (11, 32, 4), (15, 16, 3), (16, 32, 4)],
)  # fmt: skip
def test_the_resolution_is_the_best_that_exists(factors, count, expected):
    assert resolution(factors, basic_factors(factors, count)) == expected


def test_of_equal_resolution_the_design_has_the_fewest_aliases():
    """2**(7-2) in Fries & Hunter 1980: the worst of three choices has three words of length four, the best one."""
    assert aberration(generators(7, 5), 5) == (0, 0, 0, 1, 2, 0, 0)


SAMPLE = "sample: {over: {stride: [8, 16, 32], width: [0.25, 0.5, 1.0], dataset.train_count: [64, 128]}, count: 6}\n"


def test_a_random_sample_depends_on_its_seed_alone(load):
    rows = axes_of(load(BASE + SAMPLE))[1:]
    assert len(set(rows)) == 6
    assert rows == axes_of(load(BASE + SAMPLE))[1:]
    assert rows != axes_of(load(BASE + SAMPLE, "sample.seed=1"))[1:]
    whole = load(BASE + SAMPLE, "sample.count=18")
    assert len(set(axes_of(whole)[1:])) == 18


def test_a_latin_sample_has_every_value_equally_often(load):
    ablation = load(BASE + "baseline: {width: 0.125}\n" + SAMPLE, "sample.method=latin")
    rows = axes_of(ablation)[1:]
    for column, often in zip(zip(*rows, strict=True), (2, 2, 3), strict=True):
        assert {column.count(value) for value in column} == {often}
    assert ablation.remarks[0] == "sample: 6 of 18 combinations, method latin, seed 0"


def test_a_sample_of_a_grid_beyond_all_integers_of_a_machine(load):
    axes = ", ".join(f"train.{name}: [{values}]" for name, values in MANY.items())
    assert len(load(BASE + f"sample: {{over: {{{axes}}}, count: 3}}").variants) == 4


MANY = {
    "lr": ", ".join(str(n / 1e4) for n in range(1, 1001)),
    "steps": ", ".join(map(str, range(1, 2001))),
    "batch": ", ".join(map(str, range(1, 2001))),
    "weight_decay": ", ".join(str(n / 1e7) for n in range(1, 2001)),
    "clip": ", ".join(str(n / 10) for n in range(1, 2001)),
}


def test_designs_go_with_exclusions_labels_answers_and_other_architectures(load):
    ablation = load(
        BASE.replace("[params]", "[params, miou]")
        + "baseline: {stride: 32, skips: false}\nfactorial: {stride: [32, 8], skips: [false, true]}\n"
        "exclude: [{when: {stride: 32, skips: true}, because: nothing to fuse}]\n"
        "compare_with: [{architecture: unet, axes: {width: 0.25}}]\n"
        'labels: {"stride=8,skips=true": FCN-8s}\n'
        'answers: [{compare: "stride=8,skips=true", with: "stride=8,skips=false"}]\n'
        'claims: [{says: "miou[stride=8,skips=true] > miou[stride=32]"}]'
    )
    assert len(ablation.variants) == 4
    assert len(ablation.excluded) == 1
    assert "FCN-8s" in ablation.labels.values()
    assert len(ablation.answers) == len(ablation.claims) == 1
    assert ablation.varied == ("architecture", "stride", "skips")


def test_a_remark_says_how_many_combinations_of_a_design_are_excluded(load):
    exclude = "\nexclude: [{when: {stride: 8, skips: true}, because: no}]"
    base = BASE + "baseline: {stride: 32, skips: false}\n"
    full = load(base + "factorial: {stride: [32, 8], skips: [false, true]}" + exclude).remarks[0]
    unbalanced = "so that the others are no balanced fraction and have no resolution"
    assert full == f"factorial: 4 of 4 combinations; 1 of them is excluded, {unbalanced}"
    half = load(BASE + FIVE + exclude.replace("[{", "[{when: {stride: 8, skips: false}, because: no}, {")).remarks[0]
    assert half == f"factorial: 16 of 32 combinations; 8 of them are excluded, {unbalanced}"
    drawn = load(base + "sample: {over: {stride: [8, 16], skips: [false, true]}, count: 4}" + exclude).remarks[0]
    assert drawn == "sample: 4 of 4 combinations, method random, seed 0; 1 of them is excluded"
    both = load(base + "factorial: {stride: [32, 16], skips: [false, true]}\nvary: {width: [0.5]}"
                + exclude.replace("stride: 8, skips: true", "width: 0.5")).remarks[0]  # fmt: skip
    assert both == "factorial: 4 of 4 combinations, so that no two effects are aliases"


def test_the_short_name_of_a_setting_is_taken_in_every_design(load):
    text = BASE + "path: {to: {weights: a.pt, skips: true}, order: [skips, weights]}\nbaseline: {skips: false}"
    assert load(text).varied == ("train.weights", "skips")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("leave_out: [skip]", r"yaml:5:\d+: 'fcn' has no axis 'skip', did you mean 'skips'"),
        ("baseline: {skips: false}\nleave_out: [skips]", r"yaml:6:\d+: the baseline is without 'skips' already \(skips: false"),
        ("baseline: {skips: true}\nadd_in: [skips]", r"yaml:6:\d+: the baseline has 'skips' already"),
        ("leave_out: [stride]", r"'stride' is no switch; write the value without it: leave_out: \{stride: VALUE\}"),
        ("leave_out: [skips, skips]", r"'leave_out' lists 'skips' twice"),
        ("factorial: {strid: [8, 16]}", r"yaml:5:\d+: 'fcn' has no axis 'strid', did you mean 'stride'"),
        ("factorial: {stride: [8, 16, 32]}", r"'factorial.over.stride' has two values, not 3"),
        ("factorial: {over: {stride: [8, 16], skips: [true, false], width: [0.5, 1.0]}, count: 3}", "at least 4 variants"),
        ("factorial: {over: {stride: [8, 16]}, cont: 3}", "no key 'cont', did you mean 'count'"),
        ("sample: {over: {stride: [8, 9]}, count: 1}", r"yaml:5:\d+: .*9"),
        ("sample: {over: {stride: [8, 16]}, count: 3}", r"yaml:5:\d+: 'sample.count' is 3, but there are 2 combinations"),
        ("sample: {over: {stride: [8, 8]}, count: 1}", r"'sample.over.stride' lists a value twice"),
        ("sample: {over: {stride: [8]}, count: 1, method: lattin}", r"'sample.method'.*'random' or 'latin'"),
        ("sample: {over: {stride: [8]}}", r"key 'sample.count' is missing"),
        ("path: {to: {stride: 9}}", r"yaml:5:\d+: .*9"),
        ("baseline: {stride: 8}\npath: {to: {stride: 8}}", r"yaml:6:\d+: the baseline has stride: 8 already"),
        ("path: {to: {width: 0.5}, order: [stride]}", r"'path.order' lists each axis of 'path.to' once: width"),
        ("leave_outs: [skips]", r"there is no key 'leave_outs', did you mean 'leave_out'"),
    ],
)  # fmt: skip
def test_faults_of_designs_name_their_line_and_what_would_work(load, text, message):
    with pytest.raises(AblationError, match=message):
        load(BASE + text)
