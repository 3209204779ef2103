"""Which weights a training run starts from, as an ablation file writes them.

    weights: a.safetensors                          a file, relative to the ablation file or to the project
    weights: "run:fcn_skips[stride=8,skips=true]@seed=0"   kept by `bench run fcn_skips --keep-weights`
    weights: run:3f2a90c1                           the same, by the digest of the file
    weights: {file: a.pt, skip: ["head.*"], missing: allow, prefix: module., entry: params_ema}

A variant has them as one line of text: `a.pt?skip=head.*&missing=allow`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.registry import suggestion, text_of

RUN = "run:"
"""Begins the name of weights that a run kept."""
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
"""Formats: safetensors, and what `torch.save` wrote."""
NONE = "none"


@dataclass(frozen=True)
class Weights:
    """A file of weights and how its tensors belong to a network.

    `prefix` is what the names in the file begin with, where it is not to be found out; `skip` are patterns of names in
    the network whose tensors keep their initial values; with `missing`, so do tensors that the file does not have.
    `entry` is the key of the file's mapping that holds the tensors.
    """

    file: str
    prefix: str = ""
    skip: tuple[str, ...] = ()
    missing: bool = False
    entry: str = ""

    @property
    def options(self) -> dict[str, str]:
        """What differs from the defaults, as text."""
        texts = {"entry": self.entry, "prefix": self.prefix, "skip": "|".join(self.skip)}
        return {name: text for name, text in texts.items() if text} | ({"missing": "allow"} if self.missing else {})

    def __str__(self) -> str:
        options = "&".join(f"{name}={text}" for name, text in self.options.items())
        return f"{self.file}?{options}" if options else self.file


def weights_of(text: str) -> Weights:
    """The weights that a text names. Raises ValueError for options that do not exist."""
    file, _, options = text.partition("?")
    pairs = (option.partition("=") for option in options.split("&") if option)
    return _weights({"file": file, **{name: value for name, _, value in pairs}})


def weights_text(value: Any) -> Any:
    """A value of the key `weights` as one line of text, None for `none`; other types stay for pydantic to refuse.

    Raises ValueError that says what would have worked.
    """
    if isinstance(value, Mapping):
        return str(_weights(value))
    if not isinstance(value, str):
        return value
    return None if value == NONE else str(weights_of(value))


KEYS = ("file", "prefix", "skip", "missing", "entry")


def _weights(values: Mapping[Any, Any]) -> Weights:
    for name in values:
        if name not in KEYS:
            raise ValueError(f"there is no key '{name}' in weights{suggestion(str(name), list(KEYS))}")
    missing = values.get("missing", "refuse")
    if missing not in ("allow", "refuse"):
        raise ValueError(f"'missing' is allow or refuse, not {text_of(missing)}")
    return Weights(
        file=_file(values.get("file")),
        prefix=_text("prefix", values.get("prefix", "")),
        skip=_patterns(values.get("skip", [])),
        missing=missing == "allow",
        entry=_text("entry", values.get("entry", "")),
    )


def _file(value: Any) -> str:
    """Raises ValueError for what names no file of a known format, and no run."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("weights need a file: {file: a.safetensors}")
    if value.startswith(RUN):
        if not value.removeprefix(RUN):
            raise ValueError("name the run: run:ABLATION[VARIANT]@seed=0, or run:DIGEST (bench store info lists them)")
    elif not value.endswith(SUFFIXES):
        raise ValueError(f"weights are a file that ends with {', '.join(SUFFIXES)}, or run:ABLATION[VARIANT]@seed=0")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or set("&?") & set(value):
        raise ValueError(f"'{name}' is a text without & and ?, not {text_of(value)}")
    return value


def _patterns(value: Any) -> tuple[str, ...]:
    listed = value.split("|") if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)):
        raise ValueError(f"'skip' is a list of patterns, such as [head.*], not {text_of(value)}")
    return tuple(_text("skip", each) for each in listed)
