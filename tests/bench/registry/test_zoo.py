import inspect
import subprocess
import sys

import pytest

from bench.registry import RegistryError
from bench.registry.targets import declared, runnable
from bench.registry.zoo import WEIGHTS, smp_classes, timm_models, torchvision_axes, torchvision_builders


def test_the_builders_are_those_that_torchvision_lists():
    from torchvision import models

    listed = [n for n in models.list_models() if not n.startswith(("quantized", "raft"))]
    assert sorted(torchvision_builders()) == sorted(listed)


def test_axes_are_the_plain_parameters_of_builder_and_class():
    axes = [a.name for a in torchvision_axes("fcn_resnet50")]
    assert axes == ["weights", "num_classes", "aux_loss", "weights_backbone"]
    kinds = {a.name: a.kind for a in torchvision_axes("googlenet")}
    assert kinds == {
        "weights": "str",
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
    axes = {axis.name: axis.kind for axis in declared(f"timm:{name}").axes}
    assert axes["num_classes"] == axes["in_chans"] == "int"
    assert axes["pretrained"] == "bool"


@pytest.mark.parametrize(
    ("target", "argument"),
    [
        ("torchvision:mobilenet_v3_large", "width_mult"),  # of a private function that gets **kwargs
        ("torchvision:mobilenet_v2", "width_mult"),  # of the class
        ("torchvision:resnet50", "replace_stride_with_dilation"),
        ("timm:resnet50", "base_width"),
        ("timm:deit_tiny_patch16_224", "patch_size"),  # of a class that another file defines
        ("timm:swin_tiny_patch4_window7_224", "window_size"),
    ],
)
def test_arguments_that_a_builder_hands_on_are_axes(target, argument):
    entry = declared(target)
    assert entry.axis(argument) is not None
    assert entry.axis("strid") is None


def test_the_arguments_of_smp_are_those_of_its_classes():
    smp = pytest.importorskip("segmentation_models_pytorch", reason="smp is an optional extra")
    assert set(smp_classes()) == {each.__name__ for each in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    for name in smp_classes():
        parameters = inspect.signature(getattr(smp, name)).parameters.values()
        own = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
        axes = {axis.name: axis.default for axis in declared(f"smp:{name}").axes}
        assert own.keys() <= axes.keys()
        same = [axis for axis in own if axis != "encoder_weights"]
        assert {axis: axes[axis] for axis in same} == {
            axis: tuple(own[axis]) if isinstance(own[axis], list) else own[axis] for axis in same
        }


def test_weights_called_none_are_no_weights():
    entry = runnable("torchvision:resnet18")
    none, null = (entry.build(num_classes=2, weights=stated).state_dict() for stated in ("none", None))
    assert {name: value.shape for name, value in none.items()} == {name: value.shape for name, value in null.items()}


@pytest.mark.parametrize("target", ["torchvision:lraspp_mobilenet_v3_large", "smp:Unet", "timm:resnet18"])
def test_no_weights_are_loaded_unless_they_are_stated(target):
    defaults = {axis.name: axis.default for axis in declared(target).axes if axis.name in WEIGHTS}
    assert defaults
    assert not any(defaults.values())


def test_weights_that_cannot_be_had_are_one_plain_line(monkeypatch):
    import timm

    tries = []

    def failing(*arguments, **axes):
        tries.append(axes)
        raise OSError("no route to the hub\nand more")

    monkeypatch.setattr(timm, "create_model", failing)
    for _ in range(2):
        with pytest.raises(
            RegistryError, match=r"^timm:resnet18: its weights \(pretrained=true\) cannot be had; .* \(OSError: no"
        ):
            runnable("timm:resnet18").build(pretrained=True)
    assert tries == [{"pretrained": True}]  # a library tries for a minute, which is not repeated


def test_without_smp_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(RegistryError, match=r"not installed: pip install fovbench\[smp\]"):
        runnable("smp:Unet")


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
