"""Keys of variants that differ in settings: equal where what is measured is the same, and only there."""

import pytest

from bench.results.keys import networks, requests
from bench.spec.ablation import load

TEXT = """question: Does it work?
architecture: fcn
baseline: {{width: 0.125, fc_channels: 64}}
vary: {{{axis}: [{value}]}}
metrics: [params, latency, miou]
workload: {{dataset: {{name: boundaries, val_count: 32}}, shape: [3, 32, 32]}}
train: {{steps: 5}}
seeds: 2
"""


@pytest.fixture
def ablation(tmp_path):
    def loaded(axis, value, overrides=()):
        file = tmp_path / "asked.yaml"
        file.write_text(TEXT.format(axis=axis, value=value))
        return load(file, overrides)

    return loaded


@pytest.mark.parametrize(
    ("axis", "value", "different"),
    [
        ("train.lr", "0.1", {"miou"}),
        ("dataset.widest", "8", {"miou"}),
        ("dataset.fraction", "0.5", {"miou"}),
        ("workload.dataset", "context", {"miou"}),
        ("workload.batch", "4", {"latency"}),
        ("workload.threads", "2", {"latency"}),
        ("workload.layout", "channels_last", {"latency"}),
        ("workload.dtype", "bfloat16", {"latency", "miou"}),
        ("workload.shape", "[3, 64, 64]", {"params", "latency", "miou"}),
        ("stride", "16", {"params", "latency", "miou"}),
    ],
)
def test_a_measurement_is_another_one_where_its_value_depends_on_the_setting(ablation, axis, value, different):
    one = ablation(axis, value)
    keys = [{r.metric: r.key for r in requests(one, {}) if r.variant == v and not r.seed} for v in one.variants]
    assert {metric for metric in keys[0] if keys[0][metric] != keys[1][metric]} == different
    runs = {r.variant: r.training_run for r in requests(one, {}) if r.seed == 1}
    assert (len({*runs.values()}) == 2) == ("miou" in different)


AS_STATED = [
    ("train.lr", 0.1),
    ("workload.batch", 4),
    ("workload.shape", [3, 64, 64]),
    ("dataset.fraction", 0.5),
]


@pytest.mark.parametrize(("axis", "value"), AS_STATED)
def test_a_varied_setting_gives_the_keys_of_a_file_that_states_it(ablation, axis, value):
    varied = ablation(axis, value)
    stated = ablation("stride", 16, overrides=[f"{'workload.' if axis.startswith('dataset.') else ''}{axis}={value}"])
    own = [r.key for r in requests(varied, {}) if r.variant == varied.variants[1]]
    assert own == [r.key for r in requests(stated, {}) if r.variant == stated.variants[0]]


def test_the_parts_of_a_key_hold_no_setting_among_the_axes(ablation):
    for request in [*requests(ablation("train.lr", 0.1), {}), *networks(ablation("train.lr", 0.1))]:
        assert not any("." in name for name in request.parts.get("axes", {}))
    first, second = [r.parts["recipe"]["lr"] for r in requests(ablation("train.lr", 0.1), {}) if r.seed == 0]
    assert (first, second) == (0.003, 0.1)


def test_each_request_has_the_workload_and_the_data_of_its_variant(ablation):
    prints = {16: {"train": "wide"}, 8: {"train": "narrow"}}
    chosen = requests(
        ablation("dataset.widest", 8), lambda work: prints[dict(work.dataset_axes)["widest"]], ("accuracy",)
    )
    pairs = {(dict(r.workload.dataset_axes)["widest"], r.parts["fingerprint"]["train"]) for r in chosen}
    assert pairs == {(16, "wide"), (8, "narrow")}
