"""Networks of libraries and of files in an ablation: their arguments, what the dataset needs, the output."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.registry import zoo
from bench.spec.ablation import AblationError, load

HEAD = "question: q\nmetrics: [params, miou]\nworkload: {dataset: camvid, shape: [3, 64, 64]}\n"
UNET = "architecture: smp:Unet\nbaseline: {encoder_name: resnet18, encoder_weights: null}\n"
LRASPP = "architecture: torchvision:lraspp_mobilenet_v3_large\n"
NET = """
from torch import nn

def net(*, num_classes: int = 2, width: int = 8, in_chans: int = 3):
    "A network of a file."
    return nn.Conv2d(in_chans, num_classes, 1)

def own(*, output: int = 2):
    "An argument that is called like an axis of ours."
    return nn.Conv2d(3, output, 1)

def people(*, keypoints: int = 3):
    "Maps of joints."
    return nn.Conv2d(3, keypoints, 1)
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    """Loads an ablation beside a file `net.py` of networks."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)

    def loaded(text, head=HEAD):
        (tmp_path / "a.yaml").write_text(head + text)
        return load("a.yaml", plugins=["net.py"])

    return loaded


def names(ablation):
    return [variant.name for variant in ablation.variants]


def test_each_library_gets_the_classes_of_the_dataset_under_its_own_name(net):
    others = ["torchvision:fcn_resnet50", "timm:resnet18", "net.py:net"]
    listed = ", ".join(f'{{architecture: "{other}"}}' for other in others)
    ablation = net(f"architecture: fcn\ncompare_with: [{listed}]\n")
    classes = [{n: v for n, v in variant.values.items() if "classes" in n} for variant in ablation.variants]
    assert classes == [{"classes": 11}, *[{"num_classes": 11}] * 3]
    assert {variant.values["fitted_to"] for variant in ablation.variants[1:]} == {"segmentation"}
    assert names(ablation)[1] == "torchvision:fcn_resnet50(num_classes=11)"


def test_joints_are_classes_where_there_is_no_argument_for_joints(net):
    head = "question: q\nmetrics: [params, pck]\nworkload: {dataset: stickman, shape: [3, 64, 64]}\n"
    ablation = net('architecture: net.py:people\ncompare_with: [{architecture: "net.py:net"}]\n', head)
    assert [v.values.get("keypoints", v.values.get("num_classes")) for v in ablation.variants] == [11, 11]


def test_input_channels_are_set_where_they_are_not_the_usual_ones(net):
    head = HEAD.replace("camvid, shape: [3,", "context, shape: [1,")
    assert net("architecture: net.py:net\n", head).baseline.values["in_chans"] == 1
    assert net("architecture: timm:resnet18\n", head).baseline.values["in_chans"] == 1
    assert "in_chans" not in net("architecture: timm:resnet18\n").baseline.values


def test_arguments_of_a_library_vary(net):
    ablation = net(
        'architecture: "torchvision:mobilenet_v3_large"\nbaseline: {width_mult: 1.0}\nvary: {width_mult: [0.5]}\n'
    )
    assert [variant.values["width_mult"] for variant in ablation.variants] == [1.0, 0.5]
    pytest.importorskip("segmentation_models_pytorch", reason="smp is an optional extra")
    ablation = net(
        "architecture: smp:Unet\nvary: {encoder_name: [mobilenet_v2], decoder_channels: [[64, 32, 16, 8, 8]]}\n"
    )
    assert [variant.values["encoder_name"] for variant in ablation.variants] == ["resnet34", "mobilenet_v2", "resnet34"]
    assert ablation.variants[2].values["decoder_channels"] == (64, 32, 16, 8, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LRASPP + "baseline: {num_classes: 21}\n", r"5:12: 'camvid' needs num_classes: 11; leave 'num_classes' out"),
        (LRASPP + "baseline: {clases: 21}\n", "has no axis 'clases', did you mean 'num_classes'"),
        (LRASPP + "baseline: {num_classes: many}\n", "axis 'num_classes' takes int"),
        ('architecture: "timm:resnet18"\nbaseline: {global_pool: {a: 1}}\n', "axis 'global_pool' takes str"),
        ('architecture: "timm:resnet18"\nbaseline: {layers: {a: 1}}\n', "takes a number, text, true, false or a list"),
        ('architecture: "timm:resnet18"\nvary: {base_width: [32]}\n', "state its value in 'baseline'"),
        (
            "architecture: fcn\noutput: aux\n",
            r"5:1: 'output' is for networks of libraries and files; 'fcn' has one output",
        ),
        ("architecture: net.py:own\noutput: aux\n", r"5:1: 'output' is for networks of libraries and files"),
        (LRASPP + "output: out\nbaseline: {output: out}\n", "'output' is stated twice"),
        (LRASPP + "output: [out]\n", "'output'"),
        ('architecture: "torchvision:lraspp_mobilenet_v3_larg"\n', "did you mean 'lraspp_mobilenet_v3_large'"),
    ],
)
def test_what_a_network_does_not_take_is_refused_with_its_line(net, text, message):
    with pytest.raises(AblationError, match=message):
        net(text)


def test_a_network_that_smp_does_not_have_is_refused_with_the_nearest_name(net):
    pytest.importorskip("segmentation_models_pytorch", reason="smp is an optional extra")
    with pytest.raises(AblationError, match="no network 'Unett', did you mean 'Unet'"):
        net("architecture: smp:Unett\n")


def test_the_output_is_an_axis(net):
    text = LRASPP + 'output: out\nvary: {output: [aux]}\ncompare_with: [{architecture: "net.py:net", output: -1}]\n'
    ablation = net(text)
    assert [variant.values["output"] for variant in ablation.variants] == ["out", "aux", -1]
    assert "net.py:net(num_classes=11,output=-1)" in names(ablation)


def test_claims_labels_and_answers_name_such_variants(net):
    ablation = net(
        LRASPP
        + 'compare_with: [{architecture: "net.py:net", axes: {width: 4}}, {architecture: "net.py:net"}, {architecture: fcn}]\n'
        + 'labels: {"net.py:net(width=4)": narrow, "torchvision:lraspp_mobilenet_v3_large": LR-ASPP}\n'
        + 'answers: [{compare: "net.py:net(width=8)", with: baseline}]\n'
        + 'claims: [{says: "miou[net.py:net(width=4)] < miou[torchvision:lraspp_mobilenet_v3_large(num_classes=11)]"}]\n'
    )
    assert [*ablation.labels.values()] == ["narrow", "LR-ASPP"]
    assert ablation.answers == ((ablation.variants[2].name, ablation.baseline.name),)
    assert len(ablation.claims[0].comparisons) == 1


def test_variants_are_the_same_where_smp_is_not_installed(net, monkeypatch):
    pytest.importorskip("segmentation_models_pytorch", reason="smp is an optional extra")
    text = UNET + "vary: {encoder_name: [resnet34]}\ncompare_with: [{architecture: fcn}]\n"
    with_smp = net(text)
    monkeypatch.setattr(zoo, "smp_classes", dict)
    zoo.smp_arguments.cache_clear()
    try:
        without = net(text)
    finally:
        zoo.smp_arguments.cache_clear()
    assert without.variants == with_smp.variants
    assert names(without) == names(with_smp)


def test_a_file_with_networks_of_libraries_is_read_without_importing_them(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        HEAD + UNET + 'compare_with: [{architecture: "timm:resnet18"}, {architecture: "torchvision:fcn_resnet50"}]\n'
    )
    code = f"import sys; from bench.spec.ablation import load; load({str(path)!r}); print({{'torch', 'timm'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_networks_for_costs_alone_are_not_fitted(net):
    ablation = net(
        'architecture: "timm:resnet18"\n', "question: q\nmetrics: [params, macs]\nworkload: {shape: [3, 64, 64]}\n"
    )
    assert ablation.baseline.values == {}
