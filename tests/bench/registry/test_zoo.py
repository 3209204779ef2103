import subprocess
import sys

import pytest

from bench.registry import RegistryError
from bench.registry.targets import declared, runnable
from bench.registry.zoo import timm_models, torchvision_axes, torchvision_builders


def test_the_builders_are_those_that_torchvision_lists():
    from torchvision import models

    listed = [n for n in models.list_models() if not n.startswith(("quantized", "raft"))]
    assert sorted(torchvision_builders()) == sorted(listed)


def test_axes_are_the_plain_parameters_of_builder_and_class():
    assert [a.name for a in torchvision_axes("fcn_resnet50")] == ["num_classes", "aux_loss"]
    kinds = {a.name: a.kind for a in torchvision_axes("googlenet")}
    assert kinds == {
        "num_classes": "int",
        "aux_logits": "bool",
        "transform_input": "bool",
        "init_weights": "bool",
        "dropout": "float",
        "dropout_aux": "float",
    }


def test_the_models_of_timm_are_those_that_it_lists():
    import timm

    assert timm_models() == set(timm.list_models())


@pytest.mark.parametrize("name", ["resnet50", "resnet50.a1_in1k", "gluon_resnet34_v1b"])
def test_names_of_timm_may_bear_weights_or_be_old(name):
    assert declared(f"timm:{name}").axes == ()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("torchvision:resnet51", "did you mean 'resnet50'"),
        ("torchvision:resnet50 aux", "has no axis 'aux'"),
        ("timm:resnet5O", "timm has no model 'resnet5O', did you mean 'resnet50"),
        ("timm:badname", r"timm has no model 'badname' \(`timm.list_models\(\)` names them\)"),
        ("timm:resnet50 stride", "has no axis 'stride'"),
    ],
)
def test_an_unknown_model_or_axis_is_refused_before_anything_is_built(target, message):
    name, _, axis = target.partition(" ")
    with pytest.raises(RegistryError, match=message):
        declared(name).resolve({axis: True})


def test_the_zoos_are_not_imported_to_know_their_names():
    code = (
        "import sys; from bench.registry.targets import declared; declared('torchvision:fcn_resnet50').resolve({'aux_loss': True});"
        "declared('timm:resnet50'); print({'torch', 'torchvision', 'timm'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def parameters(target, **axes):
    return sum(p.numel() for p in runnable(target).build(**axes).parameters())


def test_an_axis_changes_the_network_and_none_leaves_it_to_the_builder():
    plain = parameters("torchvision:lraspp_mobilenet_v3_large")
    assert parameters("torchvision:lraspp_mobilenet_v3_large", num_classes=None) == plain
    # two 1x1 convolutions give the classes: from 128 channels with a bias, from 40 with a bias
    assert plain - parameters("torchvision:lraspp_mobilenet_v3_large", num_classes=20) == 128 + 1 + 40 + 1
    with_head = parameters("torchvision:deeplabv3_mobilenet_v3_large", aux_loss=True)
    # the head on 40 channels: 3x3 to 10, batch norm, 1x1 to 21 with a bias
    assert with_head - parameters("torchvision:deeplabv3_mobilenet_v3_large") == 40 * 10 * 9 + 20 + 10 * 21 + 21
