"""Weights from files: reading a checkpoint without running code of it, and giving its tensors to a network.

A checkpoint may wrap the tensors (`state_dict`, `model`, an average of the weights) and their names (`module.`,
`model.`). What was unwrapped, left out or converted is said, and what does not fit is refused by name.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.spec.weights import SUFFIXES, Weights
from bench.training.freezing import matches

AVERAGES = ("params_ema", "ema", "state_dict_ema", "ema_state_dict", "model_ema", "shadow")
"""Keys of a moving average of the weights, which takes precedence over the weights themselves."""
WRAPPERS = (*AVERAGES, "state_dict", "model_state_dict", "model", "params", "module", "net", "network", "weights")
"""Keys under which tensors are looked for, in this order."""
PREFIXES = ("module", "model", "net", "network", "_orig_mod", "backbone", "encoder")
"""Parts that wrappers put before the names of a network's tensors."""
COUNTS = "num_batches_tracked"
LISTED = 3
"""Names that a message lists."""
Tensors = Mapping[str, Tensor]


class WeightsError(ValueError):
    """Weights that cannot be read, or that do not fit the network; the text begins with the file."""

    kind = "failed"


@dataclass(frozen=True)
class Loaded:
    """How a file was read: what was removed, left out or converted, a line for each; and what the file says of itself.

    `mode` is the precision mode in which fovbench trained the weights; empty in other files.
    """

    remarks: tuple[str, ...]
    tensors: int
    mode: str = ""

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {"tensors": self.tensors, "remarks": list(self.remarks)}


def load_weights(network: nn.Module, path: Path, weights: Weights, name: str) -> Loaded:
    """Give the tensors in a file to a network on the CPU, whose lazy layers have their parameters.

    `name` is that of the network in messages. Raises WeightsError; the network is then as it was.
    """
    content, metadata = _content(path)
    tensors, unwrapped = _tensors(content, weights.entry, path)
    expected = {n: t for n, t in network.state_dict().items() if isinstance(t, Tensor)}
    named, renamed = _named(tensors, expected, weights, path)
    chosen, remarks = _chosen(named, expected, weights, f"{path}", name)
    remarks = [*unwrapped, *renamed, *remarks, *_conversions(chosen, expected)]
    network.load_state_dict(dict(chosen), strict=False)
    return Loaded(tuple(remarks), len(chosen), metadata.get("mode", ""))


def save_weights(network: nn.Module, path: Path, mode: str) -> int:
    """Write the tensors of a network as safetensors, with the precision mode of its training; how many they are."""
    from safetensors.torch import save_file

    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in network.state_dict().items() if torch.is_tensor(t)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"mode": mode})
    return len(tensors)


# Reading.


def _content(path: Path) -> tuple[Any, Mapping[str, str]]:
    """(what a file holds, what it says of itself). Raises WeightsError for what is no whole checkpoint."""
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"{path}: weights are a file that ends with {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    if not path.stat().st_size:
        raise WeightsError(f"{path}: the file is empty")
    return _safetensors(path) if path.suffix == ".safetensors" else (_pickled(path), {})


def _safetensors(path: Path) -> tuple[Any, Mapping[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: damaged, or no safetensors file ({_line(error)})") from error


def _pickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if _needs_code(error):
            raise WeightsError(f"{path}: {CONVERT.format(path.stem)}") from error
        raise WeightsError(f"{path}: damaged, or not written by torch.save ({_line(error)})") from error
    except Exception as error:  # torch.load raises whatever its parsers do on damaged bytes
        if "TorchScript" in str(error):
            raise WeightsError(f"{path}: {SCRIPTED.format(path.name, path.stem)}") from error
        raise WeightsError(f"{path}: damaged, or not written by torch.save ({_line(error)})") from error


CONVERT = (
    "reading it would run code, so it is refused; where you trust it, save its tensors alone: "
    'torch.save(torch.load(FILE, weights_only=False)["state_dict"], "{}-tensors.pt"), for a whole network with '
    '.state_dict() in place of ["state_dict"]'
)
SCRIPTED = (
    'a TorchScript archive; save its tensors alone: torch.save(torch.jit.load("{}").state_dict(), "{}-tensors.pt")'
)


def _needs_code(error: BaseException) -> bool:
    return any(word in str(error) for word in ("Unsupported global", "GLOBAL", "not an allowed", "was not allowed"))


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if " " not in text:
        return type(error).__name__
    return text if len(text) <= 100 else f"{text[:100]}..."


# Unwrapping.


def _tensors(content: Any, entry: str, path: Path) -> tuple[Tensors, list[str]]:
    """(the tensors by name, what was unwrapped). Raises WeightsError where there are none."""
    steps: list[str] = []
    if entry:
        if not isinstance(content, Mapping) or entry not in content:
            raise WeightsError(f"{path}: there is no entry '{entry}'; {_shape_of(content)}")
        content, steps = content[entry], [entry]
    while not isinstance(content, Mapping) or not (own := _own_tensors(content)):
        key = next(_wrapping(content), None)
        if key is None:
            raise WeightsError(f"{path}: holds no tensors by name; {_shape_of(content)}")
        passed = [f"{other} too" for other in _wrapping(content) if other != key]
        content, steps = content[key], [*steps, key + (f" (there is {', '.join(passed)})" if passed else "")]
    remarks = [f"taken from the entry {' / '.join(steps)}"] if steps else []
    left = len(content) - len(own)
    return own, [*remarks, *([f"{left} entries that are no tensors left out"] if left else [])]


def _own_tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a mapping that is one of tensors; none where it wraps such a mapping."""
    if any(True for _ in _wrapping(content)):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _wrapping(content: Any) -> Iterator[str]:
    """The keys of a mapping that wrap tensors."""
    if isinstance(content, Mapping):
        yield from (key for key in WRAPPERS if isinstance(content.get(key), Mapping) and content[key])


def _shape_of(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"it is of type {type(content).__name__}"
    return f"it has the keys {_listed([str(key) for key in content])}" if content else "it is an empty mapping"


# Names.


def _named(tensors: Tensors, expected: Tensors, weights: Weights, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """(the tensors under the network's names, what was removed from their names, or added)."""
    if weights.prefix:
        if not any(name.startswith(weights.prefix) for name in tensors):
            raise WeightsError(f"{path}: no name begins with '{weights.prefix}'; names are {_listed(tensors)}")
        return _stripped(tensors, weights.prefix)
    plain = len(expected.keys() & tensors.keys())
    removed = {prefix: _matches(tensors, expected, prefix) for prefix in _prefixes(tensors)}
    added = {prefix: sum(f"{prefix}{n}" in expected for n in tensors) for prefix in _heads(expected)}
    most = max([plain, *removed.values(), *added.values()])
    if most == plain:
        return dict(tensors), []
    prefix = next((prefix for prefix, count in removed.items() if count == most), None)
    if prefix is not None:
        return _stripped(tensors, prefix)
    prefix = next(prefix for prefix, count in added.items() if count == most)
    return {f"{prefix}{n}": t for n, t in tensors.items()}, [f"added prefix {prefix} to {len(tensors)} names"]


def _stripped(tensors: Tensors, prefix: str) -> tuple[dict[str, Tensor], list[str]]:
    named = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    outside = [name for name in tensors if not name.startswith(prefix)]
    remarks = [f"removed prefix {prefix} from {len(named)} names"]
    return named, [*remarks, *([f"left out {len(outside)} outside of it: {_listed(outside)}"] if outside else [])]


def _matches(tensors: Tensors, expected: Tensors, prefix: str) -> int:
    return sum(name.startswith(prefix) and name.removeprefix(prefix) in expected for name in tensors)


def _prefixes(tensors: Iterable[str]) -> list[str]:
    """Every chain of `PREFIXES` that names begin with, the shortest first."""
    chains: dict[str, None] = {}
    for name in tensors:
        chain = ""
        for part in name.split(".")[:-1]:
            if part not in PREFIXES:
                break
            chain += f"{part}."
            chains[chain] = None
    return sorted(chains, key=len)


def _heads(expected: Iterable[str]) -> list[str]:
    """The first parts of the network's names, with a dot."""
    return list(dict.fromkeys(f"{name.partition('.')[0]}." for name in expected if "." in name))


# Fitting.


def _chosen(
    named: Tensors, expected: Tensors, weights: Weights, file: str, name: str
) -> tuple[dict[str, Tensor], list[str]]:
    """(the tensors that the network gets, what keeps its initial values). Raises WeightsError for what does not fit."""
    for pattern in weights.skip:
        if not any(matches(pattern, each) for each in (*expected, *named)):
            raise WeightsError(
                f"{file}: skip: no tensor of {name} is called '{pattern}'; names are {_listed(expected)}"
            )
    skipped = {n for n in {*expected, *named} if any(matches(pattern, n) for pattern in weights.skip)}
    missing = [n for n in expected if n not in named and n not in skipped and not n.endswith(COUNTS)]
    extra = [n for n in named if n not in expected and n not in skipped]
    chosen = {n: t for n, t in named.items() if n in expected and n not in skipped}
    other = [n for n, t in chosen.items() if t.shape != expected[n].shape]
    refused = [] if weights.missing else missing
    if refused or extra or other or not chosen:
        raise WeightsError(_unfit(file, name, named, expected, refused, extra, other))
    infinite = next((n for n, t in chosen.items() if t.is_floating_point() and not bool(t.isfinite().all())), None)
    if infinite is not None:
        raise WeightsError(f"{file}: tensor {infinite} is not finite")
    left = (("skip", [n for n in expected if n in skipped]), ("missing", missing))
    return chosen, [f"{why}: {len(names)} keep initial values ({_listed(names)})" for why, names in left if names]


def _unfit(
    file: str,
    name: str,
    named: Tensors,
    expected: Tensors,
    missing: Sequence[str],
    extra: Sequence[str],
    other: Sequence[str],
) -> str:
    """Which names and shapes do not fit, and what to do."""
    if not expected.keys() & named.keys():
        hint = "; where they have another prefix: {file: ..., prefix: net.}"
        return (
            f"{file} is of another network than {name}: {_listed(named)} in the file, {_listed(expected)} in it{hint}"
        )
    shapes = [f"{n} {tuple(named[n].shape)} in the file, {tuple(expected[n].shape)} in the network" for n in other]
    faults = (("another shape", shapes), ("missing in the file", missing), ("not in the network", extra))
    text = "; ".join(f"{len(names)} {what}: {_listed(names)}" for what, names in faults if names)
    return f"{file} does not fit {name}: {text}. {_advice(named, expected, missing, extra, other)}"


def _advice(
    named: Tensors, expected: Tensors, missing: Sequence[str], extra: Sequence[str], other: Sequence[str]
) -> str:
    patterns = list(dict.fromkeys(_module(n) for n in (*other, *extra)))
    skip = "skip: [" + ", ".join(f'"{pattern}"' for pattern in patterns[:LISTED]) + "]"
    classes = {(named[n].shape[:1], expected[n].shape[:1]) for n in other if _same_but_first(named[n], expected[n])}
    head = "A head of another number of classes? " if len(classes) == 1 else ""
    keep = "keeps the initial values of these" if other else "leaves these out"
    ways = ([f"{skip} {keep}"] if patterns else []) + (["missing: allow keeps what the file lacks"] if missing else [])
    return f"{head}In weights: {{file: ...}}, " + "; ".join(ways)


def _same_but_first(one: Tensor, other: Tensor) -> bool:
    return one.shape[1:] == other.shape[1:]


def _module(name: str) -> str:
    head, dot, _ = name.rpartition(".")
    return f"{head}.*" if dot else name


def _conversions(chosen: Tensors, expected: Tensors) -> list[str]:
    pairs = [(t.dtype, expected[n].dtype) for n, t in chosen.items() if t.dtype != expected[n].dtype]
    different = dict.fromkeys(pairs)
    return [f"converted {pairs.count(p)} tensors from {_dtype(p[0])} to {_dtype(p[1])}" for p in different]


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:LISTED]) + (f" and {len(every) - LISTED} more" if len(every) > LISTED else "")
