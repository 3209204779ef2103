"""The keys of an ablation file, their types, and one line for each way to get them wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bench.registry import suggestion, text_of
from bench.registry.axes import typed_text
from bench.spec.characters import one_line
from bench.spec.dtypes import device_named, dtype_named
from bench.spec.numeric import TF32
from bench.spec.recipe import MOST, Recipe
from bench.spec.workload import Layout
from bench.spec.yamlfile import Document, FileError

OLD_KEYS: Mapping[str, str] = {"beside": "compare_with"}
"""Old name of a key -> its name. A file with an old name loads like one with the new name."""

OptionalLine = Annotated[str, AfterValidator(one_line)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(one_line)]
"""Text that is shown on one line: line breaks become spaces."""


class AblationError(FileError):
    """An ablation that cannot be run; the text has a line for each fault, at most two."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Exclusion(_Section):
    """Variants that are left out, and the reason, which reports print."""

    when: dict[str, Any] = Field(min_length=1)
    because: Line


class CompareWith(_Section):
    """A variant of another architecture, compared with the same baseline."""

    architecture: str
    axes: dict[str, Any] = {}
    output: str | int | None = None
    label: Line | None = None
    weights: Any = None
    train: Literal["none"] | None = None


class Claim(_Section):
    """A claim of the source about these variants, in the grammar of `bench.spec.claims`."""

    says: Line
    source: OptionalLine = ""


class Answer(_Section):
    """A contrast that answers the question: two variants, as `bench.spec.references` writes them."""

    compare: str
    reference: str = Field(alias="with")


class WorkloadSection(_Section):
    """What the variants are measured on."""

    dataset: str | dict[str, Any] | None = None
    shape: list[int] = Field(default=[3, 64, 64], min_length=1, max_length=4)
    batch: int = Field(default=1, ge=1, le=MOST)
    device: Annotated[str, AfterValidator(device_named)] = "cpu"
    dtype: Annotated[str, AfterValidator(dtype_named)] = "float32"
    threads: int = Field(default=1, ge=1, le=1024)
    layout: Layout = "contiguous"
    compile: bool = False
    graph: bool = False
    tf32: TF32 = "conv"
    cudnn_benchmark: bool = False
    deterministic: bool = False
    reduced_precision_reduction: bool = True


class TuneSection(_Section):
    """A search over the recipe that every variant gets before the reported runs; see `bench.spec.tuning`."""

    over: dict[str, list[Any]] = Field(min_length=1)
    runs: int | None = Field(default=None, ge=1, le=MOST)
    on: float = Field(default=0.15, gt=0, lt=1)
    steps: int | float | None = Field(default=None, gt=0, le=MOST)
    seeds: int | list[int] = 1
    metric: str = ""


class SeedsSection(_Section):
    """Seeds that are added while comparisons are inconclusive; see `bench.spec.adaptive`."""

    min: int = Field(ge=2, le=MOST)
    max: int = Field(ge=2, le=MOST)
    until: Literal["decided"] = "decided"
    looks: int | None = Field(default=None, ge=2, le=20)


class FactorialSection(_Section):
    """A two-level design: a part of all combinations; see `bench.spec.designs`."""

    over: dict[str, list[Any]] = Field(min_length=1)
    count: int | None = Field(default=None, ge=2, le=MOST)


class SampleSection(_Section):
    """Combinations that are drawn from the grid of these lists; see `bench.spec.designs`."""

    over: dict[str, list[Any]] = Field(min_length=1)
    count: int = Field(ge=1, le=MOST)
    method: Literal["random", "latin"] = "random"
    seed: int = Field(default=0, ge=0, lt=2**63)


class PathSection(_Section):
    """From the baseline to another variant, one axis after the other; see `bench.spec.designs`."""

    to: dict[str, Any] = Field(min_length=1)
    order: list[str] | Literal["greedy"] = []


class AblationFile(_Section):
    """The keys of an ablation file."""

    question: Line
    extends: str = ""
    architecture: str
    output: str | int | None = None
    source: OptionalLine = ""
    baseline: dict[str, Any] = {}
    vary: dict[str, list[Any]] = {}
    grid: dict[str, list[Any]] = {}
    zip: dict[str, list[Any]] = {}
    leave_out: list[str] | dict[str, Any] = []
    add_in: list[str] | dict[str, Any] = []
    factorial: FactorialSection | None = None
    sample: SampleSection | None = None
    path: PathSection | None = None
    exclude: list[Exclusion] = []
    compare_with: list[CompareWith] = []
    labels: dict[str, Line] = {}
    metrics: list[str] = Field(min_length=1)
    main: str = ""
    weights: Any = None  # written out by bench.spec.shorthand, as in CompareWith
    workload: WorkloadSection = WorkloadSection()
    train: Recipe = Recipe()
    tune: TuneSection | None = None
    seeds: int | list[int] | SeedsSection = 1
    timeout: float = Field(default=3600.0, gt=0, le=1e7, description="seconds that one measurement may take")
    answers: list[Answer] = []
    claims: list[Claim] = []


_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): AblationFile,
    ("workload",): WorkloadSection,
    ("train",): Recipe,
    ("tune",): TuneSection,
    ("seeds",): SeedsSection,
    ("factorial",): FactorialSection,
    ("sample",): SampleSection,
    ("path",): PathSection,
    ("exclude",): Exclusion,
    ("compare_with",): CompareWith,
    ("answers",): Answer,
    ("claims",): Claim,
}


def with_new_keys(document: Document) -> Document:
    """The document with each old key under its new name. Raises AblationError where it has both."""
    for old, new in OLD_KEYS.items():
        if old in document.data and new in document.data:
            raise AblationError(f"{document.at([old])}: '{old}' is the old name of '{new}'; use one of the two")
    data = {OLD_KEYS.get(key, key): value for key, value in document.data.items()}
    positions = {
        (*[OLD_KEYS.get(key, key) for key in path[:1]], *path[1:]): at for path, at in document.positions.items()
    }
    return replace(document, data=data, positions=positions)


def validated(document: Document) -> AblationFile:
    """The keys with their types checked. Raises AblationError with a line for each of the first two faults."""
    try:
        return AblationFile.model_validate(document.data)
    except ValidationError as error:
        raise AblationError("\n".join(_lines(document, error)[:2])) from None


def _lines(document: Document, error: ValidationError) -> list[str]:
    """A line for each place of the file that is wrong; pydantic has an error for each type that a key may have."""
    by_place: dict[tuple[Any, ...], list[Any]] = {}
    for each in error.errors():
        by_place.setdefault(_place(document.data, each), []).append(each)
    within = {place[:end] for place in by_place for end in range(len(place))}
    return [_explained(document, place, errors) for place, errors in by_place.items() if place not in within]


def _place(data: Any, error: Any) -> tuple[Any, ...]:
    """The keys and positions of the file that lead to an error, without the types that pydantic tried on the way."""
    place: list[Any] = []
    for part in error["loc"]:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            data = data[part]
            place.append(part)
    return (*place, error["loc"][-1]) if error["type"] == "missing" else tuple(place)


def _explained(document: Document, path: tuple[Any, ...], errors: Sequence[Any]) -> str:
    """One line for pydantic's errors at one place: position, key, what would have worked."""
    error = errors[0]
    where, key = document.at(path), ".".join(str(part) for part in path)
    if error["type"] == "extra_forbidden":
        section = tuple(part for part in path[:-1] if isinstance(part, str))
        return f"{where}: there is no key '{path[-1]}'{suggestion(str(path[-1]), _keys(section))}"
    if error["type"] == "missing":
        return f"{where}: key '{key}' is missing"
    return f"{where}: '{key}': {reason(errors)}"


def reason(errors: Sequence[Any]) -> str:
    """What pydantic's errors at one place say: what would have worked, and what stands there."""
    texts = [_message(each) for each in errors]
    if texts[0].startswith("'"):  # it names the value itself
        return str(texts[0])
    messages = dict.fromkeys(text[0].lower() + text[1:] for text in texts)
    message = " or ".join(messages).replace(" or input should be ", " or ")
    value = errors[0]["input"]
    shown = _shown(value) if errors[0]["type"].endswith("_type") else text_of(value)
    return f"{message}, not {shown[:60]}"


def _message(error: Any) -> str:
    """What would have worked; of a section, its keys in place of the name of its class."""
    if error["type"] == "too_short" and isinstance(error["input"], dict):
        return "Name one at least"
    if error["type"] != "model_type":
        return str(error["msg"]).removeprefix("Value error, ")
    model = next((each for each in _MODELS.values() if each.__name__ == error["ctx"]["class_name"]), None)
    return f"Input should be a mapping with {', '.join(_names(model))}" if model else "Input should be a mapping"


def _shown(value: Any) -> str:
    """A value of a wrong type, with its type where its text alone may be taken for another one."""
    is_word = isinstance(value, str) and value.isalpha() and value not in ("true", "false", "null")
    return text_of(value) if value is None or is_word else typed_text(value)


def _keys(section: tuple[str, ...]) -> list[str]:
    return _names(_MODELS.get(section, AblationFile))


def _names(model: type[BaseModel]) -> list[str]:
    """The keys of a section as files write them."""
    return [field.alias or name for name, field in model.model_fields.items()]
