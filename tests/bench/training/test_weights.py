"""Checkpoints of every kind that is about, and what is said of those that do not fit."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.spec.weights import Weights, weights_of, weights_text
from bench.training.freezing import by_factor, freeze
from bench.training.weights import WeightsError, load_weights, save_weights


class Net(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Conv2d(4, classes, 1)


def trained(classes=2):
    torch.manual_seed(1)
    net = Net(classes)
    for tensor in (*net.parameters(), net.norm.running_mean, net.norm.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    return net.state_dict()


STATE = trained()


def prefixed(prefix, state=STATE):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def zeros(state=STATE):
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


def loaded(tmp_path, content, options="", suffix=".pt"):
    path = tmp_path / f"w{suffix}"
    save_file(content, path) if suffix == ".safetensors" else torch.save(content, path)
    net = Net()
    result = load_weights(net, path, weights_of(f"w{suffix}?{options}"), "net")
    return net.state_dict(), result


CHECKPOINTS = {
    "plain": (STATE, []),
    "state_dict": ({"state_dict": STATE, "epoch": 3}, ["taken from the entry state_dict"]),
    "model": ({"model": STATE, "optimizer": {"lr": 1.0}}, ["taken from the entry model"]),
    "model_state_dict": ({"model_state_dict": STATE}, ["taken from the entry model_state_dict"]),
    "average before weights": (
        {"params": zeros(), "params_ema": STATE},
        ["taken from the entry params_ema (there is params too)"],
    ),
    "ema": ({"ema": STATE, "model": zeros()}, ["taken from the entry ema (there is model too)"]),
    "two wrappers": ({"model": {"state_dict": STATE}}, ["taken from the entry model / state_dict"]),
    "DataParallel": (prefixed("module."), ["removed prefix module. from 9 names"]),
    "compiled": (prefixed("_orig_mod."), ["removed prefix _orig_mod. from 9 names"]),
    "net": (prefixed("net."), ["removed prefix net. from 9 names"]),
    "two prefixes": (prefixed("module.model."), ["removed prefix module.model. from 9 names"]),
    "Lightning": (
        {"state_dict": {**prefixed("model."), "loss.weight": torch.ones(2)}, "pytorch-lightning_version": "2"},
        [
            "taken from the entry state_dict",
            "removed prefix model. from 9 names",
            "left out 1 outside of it: loss.weight",
        ],
    ),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_wraps_tensors_and_names_is_found_and_said(tmp_path, name):
    content, remarks = CHECKPOINTS[name]
    state, result = loaded(tmp_path, content)
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)
    assert list(result.remarks) == remarks
    assert result.tensors == 9


def test_safetensors_and_other_types(tmp_path):
    halves = {name: t.half() if t.is_floating_point() else t for name, t in STATE.items()}
    state, result = loaded(tmp_path, halves, suffix=".safetensors")
    assert state["body.weight"].dtype == torch.float32
    assert torch.equal(state["body.weight"], STATE["body.weight"].half().float())
    assert list(result.remarks) == ["converted 8 tensors from float16 to float32"]


def test_a_network_that_wraps_the_one_of_the_file(tmp_path):
    torch.save(STATE, tmp_path / "w.pt")
    outer = nn.ModuleDict({"encoder": Net()})
    result = load_weights(outer, tmp_path / "w.pt", Weights("w.pt"), "outer")
    assert list(result.remarks) == ["added prefix encoder. to 9 names"]
    assert torch.equal(outer["encoder"].head.weight, STATE["head.weight"])


def test_a_stated_entry_and_prefix(tmp_path):
    content = {"params": prefixed("student."), "params_ema": zeros()}
    state, result = loaded(tmp_path, content, "entry=params&prefix=student.")
    assert torch.equal(state["head.weight"], STATE["head.weight"])
    assert list(result.remarks) == ["taken from the entry params", "removed prefix student. from 9 names"]


def test_a_head_of_another_number_of_classes_names_shapes_and_the_way_out(tmp_path):
    with pytest.raises(WeightsError) as refusal:
        loaded(tmp_path, trained(7))
    text = str(refusal.value)
    assert "\n" not in text
    for part in ("w.pt", "head.weight (7, 4, 1, 1) in the file, (2, 4, 1, 1) in the network", 'skip: ["head.*"]'):
        assert part in text
    state, result = loaded(tmp_path, trained(7), "skip=head.*")
    assert torch.equal(state["body.weight"], trained(7)["body.weight"])
    assert list(result.remarks) == ["skip: 2 keep initial values (head.weight, head.bias)"]


def test_missing_tensors_are_refused_unless_allowed(tmp_path):
    rest = {name: tensor for name, tensor in STATE.items() if not name.startswith("head")}
    with pytest.raises(WeightsError, match=r"2 missing in the file: head\.weight, head\.bias.*missing: allow"):
        loaded(tmp_path, rest)
    state, result = loaded(tmp_path, rest, "missing=allow")
    assert torch.equal(state["body.weight"], STATE["body.weight"])
    assert list(result.remarks) == ["missing: 2 keep initial values (head.weight, head.bias)"]


def test_tensors_that_the_network_does_not_have_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"1 not in the network: aux\.weight.*skip: \[\"aux\.\*\"\]"):
        loaded(tmp_path, {**STATE, "aux.weight": torch.ones(1)})
    loaded(tmp_path, {**STATE, "aux.weight": torch.ones(1)}, "skip=aux.*")


def test_a_network_that_refuses_weights_is_as_it_was(tmp_path):
    torch.save(trained(7), tmp_path / "w.pt")
    net = Net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(WeightsError):
        load_weights(net, tmp_path / "w.pt", Weights("w.pt"), "net")
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


FAULTS = {
    "another network": ({"a": torch.ones(1)}, "is of another network than net: a in the file"),
    "no tensors": ({"lr": 1.0, "epoch": 2}, "holds no tensors by name; it has the keys lr, epoch"),
    "empty mapping": ({}, "holds no tensors by name; it is an empty mapping"),
    "a list": ([1, 2], "holds no tensors by name; it is of type list"),
    "not finite": ({**STATE, "head.bias": torch.tensor([0.0, float("nan")])}, "tensor head.bias is not finite"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_no_set_of_weights_says_what_it_is(tmp_path, name):
    content, message = FAULTS[name]
    with pytest.raises(WeightsError) as refusal:
        loaded(tmp_path, content)
    assert message in str(refusal.value)
    assert str(refusal.value).startswith(str(tmp_path / "w.pt"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("size", [0, 3, 200])
def test_an_empty_or_truncated_file_is_named_in_one_line(tmp_path, suffix, size):
    path = tmp_path / f"w{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match="empty" if not size else "damaged") as refusal:
        load_weights(Net(), path, Weights(path.name), "net")
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_text_and_pickles_of_objects_are_no_checkpoints(tmp_path):
    (tmp_path / "text.pt").write_text("these are no weights")
    with pytest.raises(WeightsError, match=r"damaged, or not written by torch\.save"):
        load_weights(Net(), tmp_path / "text.pt", Weights("text.pt"), "net")
    torch.save(Net(), tmp_path / "whole.pt")
    with pytest.raises(WeightsError, match=r"would run code.*torch\.save\(torch\.load\(FILE, weights_only=False\)"):
        load_weights(Net(), tmp_path / "whole.pt", Weights("whole.pt"), "net")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"lr": Net}))
    with pytest.raises(WeightsError, match=r"plain\.pt"):
        load_weights(Net(), tmp_path / "plain.pt", Weights("plain.pt"), "net")


def test_saved_weights_are_those_of_the_network_with_the_mode(tmp_path):
    net = Net()
    net.head.weight = nn.Parameter(net.head.weight.detach().to(memory_format=torch.channels_last))
    save_weights(net, tmp_path / "w.safetensors", "channels_last")
    other = Net()
    assert load_weights(other, tmp_path / "w.safetensors", Weights("w"), "net").mode == "channels_last"
    assert all(torch.equal(t, other.state_dict()[name]) for name, t in net.state_dict().items())


def test_a_mapping_is_one_line_of_text_and_back():
    written = {"file": "a.pt", "skip": ["head.*", "aux"], "missing": "allow", "prefix": "module."}
    text = weights_text(written)
    assert text == "a.pt?prefix=module.&skip=head.*|aux&missing=allow"
    assert weights_of(text) == Weights("a.pt", "module.", ("head.*", "aux"), True)
    assert weights_text(text) == text
    assert weights_text("none") is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a.txt", r"ends with \.safetensors"),
        ({"skip": ["x"]}, "need a file"),
        ({"file": "a.pt", "mising": "allow"}, "did you mean 'missing'"),
        ({"file": "a.pt", "missing": True}, "allow or refuse, not true"),
        ({"file": "a.pt", "skip": 3}, "list of patterns"),
        ("run:", "name the run"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        weights_text(value)


def test_frozen_modules_keep_weights_and_statistics():
    net = Net().train()
    freeze(net, ["body", "norm"])
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]
    assert not net.norm.training
    assert net.training
    partly = Net().train()
    freeze(partly, ["*.bias"])
    assert partly.norm.training
    assert not partly.head.bias.requires_grad


@pytest.mark.parametrize(
    ("patterns", "message"), [(["bodi"], "modules are body, head, norm"), (["*"], "nothing to train")]
)
def test_patterns_that_freeze_nothing_or_everything_are_refused(patterns, message):
    with pytest.raises(ValueError, match=message):
        freeze(Net(), patterns)


def test_factors_of_the_rate_by_pattern():
    net = Net()
    groups = by_factor(net, {"body": 0.1})
    assert [len(groups[factor]) for factor in (0.1, 1.0)] == [2, 4]
    with pytest.raises(ValueError, match="lr_factors: no parameter is called 'encoder'"):
        by_factor(net, {"encoder": 0.1})
