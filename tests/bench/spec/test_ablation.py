import pytest

from bench.spec.ablation import AblationError

BASE = """
question: Does it?
architecture: trivial
metrics: [twice]
"""


def names(variants):
    return [variant.name for variant in variants]


def test_vary_changes_one_axis_at_a_time_from_the_baseline(load):
    ablation = load(BASE + "baseline: {a: 1}\nvary: {a: [2, 3], mode: [odd]}")
    assert names(ablation.variants) == [
        "trivial(a=1,mode=even)",
        "trivial(a=2,mode=even)",
        "trivial(a=3,mode=even)",
        "trivial(a=1,mode=odd)",
    ]
    assert ablation.varied == ("a", "mode")


def test_grid_is_every_combination_and_zip_goes_in_step(load):
    ablation = load(BASE + "grid: {a: [1, 2], mode: [even, odd]}\nzip: {a: [5, 6], b: [0.1, 0.2]}")
    assert names(ablation.variants) == [
        "trivial(a=0,b=0.5,mode=even)",
        "trivial(a=1,b=0.5,mode=even)",
        "trivial(a=1,b=0.5,mode=odd)",
        "trivial(a=2,b=0.5,mode=even)",
        "trivial(a=2,b=0.5,mode=odd)",
        "trivial(a=5,b=0.1,mode=even)",
        "trivial(a=6,b=0.2,mode=even)",
    ]


def test_a_variant_that_comes_twice_is_one(load):
    ablation = load(BASE + "baseline: {a: 1}\nvary: {a: [1, 2]}\ngrid: {a: [2, 3]}")
    assert names(ablation.variants) == ["trivial(a=1)", "trivial(a=2)", "trivial(a=3)"]


def test_excluded_variants_keep_their_reason(load):
    ablation = load(BASE + "grid: {a: [1, 2], mode: [even, odd]}\nexclude: [{when: {a: 2, mode: odd}, because: no}]")
    assert [(v.name, because) for v, because in ablation.excluded] == [("trivial(a=2,mode=odd)", "no")]
    assert "trivial(a=2,mode=odd)" not in names(ablation.variants)


def test_a_variant_that_cannot_exist_must_be_excluded(load):
    text = BASE + "grid: {a: [1, 7], mode: [even, odd]}\n"
    with pytest.raises(AblationError, match=r"seven is no mode; leave it out with 'exclude'"):
        load(text)
    ablation = load(text + "exclude: [{when: {a: 7, mode: odd}, because: seven}]")
    assert len(ablation.variants) == 4


FAMILIES = "question: q\narchitecture: fcn\nbaseline: {width: 0.5}\nmetrics: [params]\n"


def test_compare_with_adds_variants_of_other_architectures_named_by_the_axes_that_it_lists(load):
    others = "compare_with: [{architecture: unet, axes: {width: 0.25}}, {architecture: pspnet}]"
    ablation = load(FAMILIES + "workload: {dataset: camvid}\n" + others)
    assert names(ablation.variants) == [
        "fcn(width=0.5,classes=11)",
        "unet(width=0.25,classes=11)",
        "pspnet(classes=11)",
    ]
    assert ablation.varied == ("architecture",)
    assert names(load(FAMILIES + "compare_with: [{architecture: unet}]").variants) == ["fcn(width=0.5)", "unet"]


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ("{architecture: unett}", r":5:\d+: no architecture is called 'unett', did you mean 'unet'"),
        ("{architecture: unet, axes: {widht: 1}}", r":5:\d+: 'unet' has no axis 'widht', did you mean 'width'"),
        ("{architecture: unet, axes: {width: 99}}", r":5:\d+: .*width"),
        ("{architecture: fcn, axes: {width: 0.5}}", r":5:\d+: 'fcn\(width=0.5\)' is listed twice"),
        ("{architecture: unet}, {architecture: unet}", r"'unet' is listed twice"),
        ("{architecture: vae}", r":5:\d+: 'vae' is for generation, but 'fcn' for segmentation"),
        ("{architecture: unet, ax: {}}", r":5:\d+: there is no key 'ax', did you mean 'axes'"),
    ],
)
def test_a_wrong_entry_of_compare_with_is_refused_with_its_line(load, others, message):
    with pytest.raises(AblationError, match=message):
        load(FAMILIES + f"compare_with: [{others}]")


def test_overrides_are_checked_like_the_file(load):
    ablation = load(BASE, "train.steps=50", "baseline.a=4", "seeds=[3, 5]", "train.lr=1e-3")
    assert ablation.recipe.steps == 50
    assert ablation.recipe.lr == 1e-3
    assert ablation.baseline.name == "trivial(a=4)"
    assert ablation.seeds == (3, 5)
    with pytest.raises(AblationError, match="no key 'stepz', did you mean 'steps'"):
        load(BASE, "train.stepz=50")
    with pytest.raises(AblationError, match="write it as key=value"):
        load(BASE, "train.steps")


def test_the_dataset_determines_the_number_of_classes(load):
    text = "question: q\narchitecture: fcn\nmetrics: [miou]\nworkload: {dataset: camvid}\n"
    assert load(text).baseline.values["classes"] == 11
    assert "classes=11" in load(text).baseline.name
    with pytest.raises(AblationError, match="'camvid' needs classes: 11"):
        load(text + "baseline: {classes: 21}")


def test_accuracy_without_a_dataset_uses_an_embedded_one(load):
    ablation = load("question: q\narchitecture: fcn\nmetrics: [miou]\n")
    assert ablation.workload.dataset == "boundaries"
    assert not load("question: q\narchitecture: fcn\nmetrics: [params]\n").workload.dataset
