"""What a history gets of an ablation whose numbers were measured earlier."""

from bench.results.location import location_of
from bench.sweep.recording import static_numbers

ABLATION = """
question: Does it go?
source: a test
architecture: fcn
baseline: {{stride: 32{baseline}}}
{vary}
metrics: [params]
workload: {{shape: [3, 64, 64]}}
"""


def test_a_number_has_the_name_of_its_variant_now_whatever_it_was_called_when_it_was_measured(tmp_path):
    file, store = tmp_path / "one.yaml", location_of(tmp_path / "store.sqlite")

    def names(**values):
        file.write_text(ABLATION.format(**values))
        return [number.variant for number in static_numbers([str(file)], store, ())]

    assert names(baseline=", skips: false", vary="vary: {skips: [true]}") == [
        "fcn(stride=32,skips=false)",
        "fcn(stride=32,skips=true)",
    ]
    assert names(baseline="", vary="vary: {stride: [16]}") == ["fcn(stride=32)", "fcn(stride=16)"]
