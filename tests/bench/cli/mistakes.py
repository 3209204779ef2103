"""Ordinary mistakes in a project: one change of what `bench init` writes, a command, and what the error must say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Change = tuple[str, str]
"""(old, new): a replacement in a file that `bench init` wrote."""


@dataclass(frozen=True)
class Mistake:
    """`files` has what changes: a new text, or a replacement. The error of `command` has all of `words`."""

    name: str
    files: Mapping[str, str | Change]
    words: tuple[str, ...]
    command: str = "plan skip"


SIGNATURE = (
    "def ownnet(*, skip: bool = False, width: Annotated[int, Bounds(2, 256)] = 8, classes: int = 2) -> nn.Module:"
)
LAST_AXIS = "classes: int = 2)"
METRIC = "def stripe_recall(evaluation: Evaluation) -> Reading:"
PLUGINS = '"network.py", "stripes.py", "metric.py"'
SECOND = '''from bench.registry import architecture


@architecture(task="segmentation", source="nobody")
def ownnet(*, skip: bool = False):
    """Another network of that name."""
'''
MEASURE = "measure ownnet skip=true --shape 3,32,32 --metrics params,macs"
CHECK = "data check stripes --shape 3,32,32"


def network(old: str, new: str) -> Mapping[str, Change]:
    return {"network.py": (old, new)}


def axis(new: str) -> Mapping[str, Change]:
    """The network's last axis, declared in another way."""
    return network(LAST_AXIS, new + ")")


def toml(old: str, new: str) -> Mapping[str, Change]:
    return {"fovbench.toml": (old, new)}


def yaml(old: str, new: str) -> Mapping[str, Change]:
    return {"ablations/skip.yaml": (old, new)}


MISTAKES = (
    # a network
    Mistake("no colon", network(SIGNATURE, SIGNATURE[:-1]), ("network.py:30: ", "expected ':'")),
    Mistake("wrong indentation", network("    return OwnNet", "  return OwnNet"), ("network.py:32: ", "unindent")),
    Mistake("positional axes", network("def ownnet(*, ", "def ownnet("), ("network.py:29: ", "def ownnet(*, skip=...)")),
    Mistake("positional-only axes", network("def ownnet(*, skip: bool = False,", "def ownnet(skip: bool = False, /, *,"), ("network.py:29: ", "def ownnet(*, skip=...)")),
    Mistake("an axis without annotation", axis("classes=2"), ("network.py:30: ", "'classes' has no annotation", "int, float, bool")),
    Mistake("an axis of a list", axis("classes: list[int] = 2"), ("network.py:30: ", "'classes'", "tuple[..., ...]")),
    Mistake("an unknown annotation", axis("classes: Litteral[2] = 2"), ("network.py:30: ", "'Litteral' is not defined")),
    Mistake("a mutable default", axis("classes: int = 2, rates: tuple[int, ...] = [1]"), ("network.py:30: ", "'rates' is a list", "write a tuple")),
    Mistake("a name of ours", network("def ownnet", "def unet"), ("network.py:30: ", "'unet' is registered twice", "unet.py:", "choose another name")),
    Mistake("a name of its own", network("@architecture(", SECOND.partition("\n\n\n")[2] + "\n\n@architecture("), ("'ownnet' is registered twice", "network.py:29 and network.py:34")),
    Mistake("a name of two plug-ins", {"other.py": SECOND, **toml('"metric.py"]', '"metric.py", "other.py"]')}, ("other.py:5: ", "network.py:29 and other.py:4")),
    Mistake("an unknown task", network('task="segmentation"', 'task="segmentaton"'), ("network.py:29", "did you mean 'segmentation'?")),
    Mistake("no source", network(', source="this project"', ""), ("network.py:30: ", "@architecture()", "'source'")),
    Mistake("no decorator", network('@architecture(task="segmentation", source="this project")\n', ""), ("network.py:29 defines it, without @architecture(...)",)),
    Mistake("a decorator that computes", network('task="segmentation"', "task=chosen()"), ("network.py:30: ", "'chosen'", "literals")),
    Mistake("no package of that name", network("import torch\n", "import torch\nimport numpyy\n"), ("network.py:6: ", "No module named 'numpyy'"), MEASURE),
    Mistake("nothing of that name in a neighbour", network("import convolution", "import convolutoin"), ("network.py:6: ", "'convolutoin'", "layers.py"), MEASURE),
    Mistake("no neighbour of that name", network("from layers", "from layerz"), ("network.py:6: ", "'layerz'"), MEASURE),
    Mistake("a relative import", network("from layers", "from .layers"), ("network.py:6: ", "relative import", "from layers import convolution")),
    Mistake("a neighbour that raises", {"layers.py": ("from torch import nn", "from torch import nn\n\n1 / 0")}, ("layers.py:5: ", "ZeroDivisionError"), MEASURE),
    Mistake("imports in a circle", {"layers.py": ("from torch import nn", "import one\nfrom torch import nn"), "one.py": "from two import y\n\nx = 1\n", "two.py": "from one import x\n\ny = 1\n"}, ("two.py:1: ", "circular import"), MEASURE),
    Mistake("a plug-in that exits", network("class OwnNet", "raise SystemExit(0)\n\n\nclass OwnNet"), ("network.py:12: ", "SystemExit"), MEASURE),
    Mistake("no return", network("    return OwnNet(", "    OwnNet("), ("network.py:29", "NoneType", "torch.nn.Module"), MEASURE),
    Mistake("too few channels", network("2 * width if skip", "width if skip"), ("network.py:26", "'score'"), MEASURE),
    Mistake("no super().__init__()", network("        super().__init__()\n", ""), ("network.py:17", "__init__"), MEASURE),
    Mistake("a layer that is not there", network("self.score(torch", "self.scores(torch"), ("network.py:26", "'scores'"), MEASURE),
    # a metric
    Mistake("a metric of nothing", {"metric.py": (METRIC, "def stripe_recall() -> Reading:")}, ("metric.py:8: ", "stripe_recall", "(subject or evaluation)")),
    Mistake("a metric of two things", {"metric.py": (METRIC, "def stripe_recall(evaluation, targets) -> Reading:")}, ("metric.py:8: ", "(evaluation, targets)")),
    Mistake("a metric of another kind", {"metric.py": ('kind="accuracy"', 'kind="score"')}, ("metric.py:11: ", "'score'", "static, speed, accuracy")),
    Mistake("a metric of another direction", {"metric.py": ('better="higher"', 'better="up"')}, ("metric.py:11: ", "'up'", "higher, lower, None")),
    # a dataset
    Mistake("a dataset without files", {"stripes.py": ("    embedded=True,\n", "")}, ("stripes.py:12: ", "files(root, split, **axes)", "embedded=True")),
    Mistake("images of another size", {"stripes.py": ("(64, *shape[1:])", "(64, 30, 32)")}, ("stripes.py:12: ", "(64, 3, 30, 32)", "(N, 3, 32, 32)"), CHECK),
    Mistake("images of floats", {"stripes.py": (".astype(np.uint8)\n    names", "\n    names")}, ("stripes.py:12: ", "float64", "uint8"), CHECK),
    Mistake("a class too many", {"stripes.py": ("= 1\n", "= 2\n")}, ("stripes.py:12: ", "the label 2", "2 classes"), CHECK),
    Mistake("an empty split", {"stripes.py": ("np.zeros((64, ", "np.zeros((64 * (split == 'train'), ")}, ("stripes.py:12: ", "no images"), CHECK),
    # the project file
    Mistake("a plug-in that is not there", toml('"network.py"', '"netwrok.py"'), ("fovbench.toml: ", "'netwrok.py'", "did you mean 'network.py'?")),
    Mistake("a module that is not there", toml('"network.py"', '"my.network"'), ("'my.network'", "no such module", "file.py")),
    Mistake("a folder as plug-in", {**toml('"network.py"', '"nets"'), "nets/network.py": ""}, ("fovbench.toml: ", "'nets': is a folder", "nets/*.py")),
    Mistake("a bracket that is not closed", toml('"metric.py"]', '"metric.py"'), ("fovbench.toml: ", "not valid TOML", "line 8")),
    Mistake("a key that is not there", toml("plugins =", "plugin ="), ("fovbench.toml: ", "did you mean 'plugins'?")),
    Mistake("a default that is not there", toml("device =", "devise ="), ("fovbench.toml: [defaults]: ", "did you mean 'device'?")),
    Mistake("text for a list", toml(f"[{PLUGINS}]", '"network.py"'), ("fovbench.toml: ", "'plugins' takes a list")),
    Mistake("no such device", toml('"cpu"', '"gpu"'), ("fovbench.toml: [defaults]: ", "cpu, cuda", "'gpu'")),
    Mistake("a network that is not loaded", toml('"network.py", ', ""), ("network.py:30 defines it, but is no plug-in: name it in fovbench.toml",)),
    Mistake("a dataset that is not loaded", toml(', "stripes.py"', ""), ("stripes.py:20 defines it, but is no plug-in",)),
    Mistake("a metric that is not loaded", toml(', "metric.py"', ""), ("metric.py:11 defines it, but is no plug-in",)),
    # the command line
    Mistake("a file that is not there", {}, ("'metrics.py': no such file", "did you mean 'metric.py'?"), "plan skip --plugin metrics.py"),
    Mistake("a folder on the command line", {"nets/network.py": ""}, ("'nets': is a folder",), "plan skip --plugin nets"),
    Mistake("YAML as plug-in", {}, ("'ablations/skip.yaml': is no Python file", ".py"), "plan skip --plugin ablations/skip.yaml"),
    Mistake("an ablation that is not there", {}, ("'skp'", "did you mean 'skip'?"), "plan skp"),
    Mistake("an architecture that is not there", {}, ("'ownet'", "did you mean 'ownnet'?"), "measure ownet"),
    Mistake("an axis of the command line that is not there", {}, ("'skp'", "did you mean 'skip'?"), "measure ownnet skp=true"),
    Mistake("a setting that is not there", {}, ("skip.yaml:10:1: ", "'step'", "did you mean 'steps'?"), "plan skip --set train.step=3"),
    # the ablation
    Mistake("a tab", yaml("baseline: {skip: false}", "baseline:\n\tskip: false"), ("skip.yaml:5:1: ", "\\t")),
    Mistake("a key of YAML that is not there", yaml("vary:", "varry:"), ("skip.yaml:5:1: ", "did you mean 'vary'?")),
    Mistake("an axis that is not there", yaml("vary: {skip:", "vary: {skips:"), ("skip.yaml:5:8: ", "did you mean 'skip'?")),
    Mistake("a value of another type", yaml("vary: {skip: [true]}", "vary: {width: ['8']}"), ("skip.yaml:5:16: ", "'width' takes int", "'8' (str)")),
    Mistake("a metric that is not measured", yaml("answers:", "claims: [{says: 'kl[skip=true] > kl', source: me}]\nanswers:"), ("skip.yaml:12:11: ", "does not measure 'kl'")),
    Mistake("a label for no variant", yaml('"skip=true": skip', '"skip=yes": skip'), ("skip.yaml:6:29: ", "skip=yes", "false, true")),
    Mistake("an option of the dataset that is not there", yaml("dataset: stripes", "dataset: {name: stripes, nois: 3}"), ("skip.yaml:9:12: ", "did you mean 'noise'?")),
)  # fmt: skip
