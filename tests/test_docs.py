"""The documentation is true: its commands exist, its links lead somewhere, its code runs, its pages are up to date."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bench.cli import bench
from bench.hardware.subject import Subject
from bench.registry.catalogue import declarations, live
from bench.registry.targets import runnable
from bench.registry.versions import __version__
from bench.report.committed import BEGIN, END
from bench.spec.ablation import load, names
from bench.spec.schema import AblationFile, Answer, Claim, CompareWith, Exclusion, WorkloadSection
from bench.sweep.executors.cluster import TIMING

ROOT = Path(__file__).parents[1]
PAGES = [p.relative_to(ROOT).as_posix() for p in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))]
FENCE = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[tuple[str, str]]:
    """(what stands behind the language, code) of each fenced block of this language."""
    return [(info, code) for kind, info, code in FENCE.findall(text_of(page)) if kind == language]


def commands(
    group: click.Command = bench, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*prefix, name))
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*prefix, name), command


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_every_command_and_every_option_has_help(name):
    command = ALL[name]
    assert command.help
    assert len(command.get_short_help_str(60)) > 10
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, (name, parameter.name)


@pytest.mark.parametrize("name", bench.commands)
def test_every_command_stands_in_the_readme(name):
    assert re.search(rf"\bbench {name}\b", text_of("README.md")), f"the README does not name bench {name}"


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_every_command_and_option_stands_in_the_reference(name):
    section = re.search(rf"^### `bench {' '.join(name)}`$(.*?)(?=^### |\Z)", text_of("docs/reference.md"), re.M | re.S)
    assert section, f"docs/reference.md has no section for bench {' '.join(name)}"
    for option in ALL[name].params:
        if isinstance(option, click.Option) and option.name != "debug":
            assert f"`{option.opts[0]}" in section[1], f"bench {' '.join(name)}: {option.opts[0]}"


def test_the_reference_is_what_its_command_writes(monkeypatch):
    monkeypatch.chdir(ROOT)
    written = CliRunner().invoke(bench, ["list", "--markdown"], catch_exceptions=False).stdout
    assert text_of("docs/reference.md") == written, "write it with: bench list --markdown > docs/reference.md"


def test_the_reference_page_is_of_all_kinds():
    result = CliRunner().invoke(bench, ["list", "metrics", "--markdown"])
    assert result.exit_code == 2


# Links and commands, on every page


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_exist(page):
    prose = FENCE.sub("", text_of(page))
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(path), f"{page}: {link} has no such heading"


def commands_of(page: str) -> Iterator[list[str]]:
    """The words of every `bench` command in code blocks of the shell and in code within the text."""
    for _, code in blocks(page, "sh"):
        for line in code.splitlines():
            yield from _bench_words(line)
    for code in re.findall(r"`(bench [^`]+)`", FENCE.sub("", text_of(page))):
        yield from _bench_words(code)


def _bench_words(line: str) -> Iterator[list[str]]:
    for part in re.split(r"&&|\||>", line):
        words = shlex.split(part, comments=True)
        if words[:1] == ["bench"]:
            yield words[1:]


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_their_options_exist(page):
    for words in commands_of(page):
        group = isinstance(bench.commands.get(words[0]), click.Group)
        name = tuple(words[:2]) if group and tuple(words[:2]) in ALL else tuple(words[:1])
        if group and words == [words[0]] and name not in ALL:
            continue
        assert name in ALL, f"{page}: bench {' '.join(words)}"
        options = {opt for option in ALL[name].params for opt in (*option.opts, *option.secondary_opts)} | {"--help"}
        for word in words:
            assert not word.startswith("--") or word.split("=")[0] in options, f"{page}: bench {' '.join(words)}"


RECIPE = next(code for _, code in blocks("docs/cluster.md", "sh") if code.startswith("#!"))
"""The script of a job for Slurm."""


def test_the_recipe_for_slurm_is_a_script_whose_bench_command_the_parser_takes():
    """Its shell parses it, the lane has the name that timings ask for, and `bench run` reads its own words."""
    subprocess.run(["bash", "-n"], input=RECIPE, text=True, check=True)
    (lane,) = re.findall(r"--resources='(.*?)'", RECIPE)
    assert json.loads(lane) == {TIMING: 1}
    assert f' {TIMING}"' in RECIPE.partition("joined()")[2]  # what is waited for
    (words,) = (words for line in RECIPE.splitlines() for words in _bench_words(line))
    context = bench.commands[words[0]].make_context(
        words[0], [word.replace("$ip:$port", "10.0.0.1:6379") for word in words[1:]]
    )
    assert context.params["names"] == ("my_ablation",)
    assert (context.params["on"], context.params["yes"]) == ("10.0.0.1:6379", True)
    assert RECIPE.rstrip().splitlines()[-1].startswith("bench run")  # so that its status is that of the job


def test_the_recipe_for_slurm_takes_the_numbers_of_nodes_and_cores_from_its_header():
    header, _, script = RECIPE.partition("\nexport")
    asked = dict(re.findall(r"--(nodes|cpus-per-task)=(\d+)", header))
    assert len(asked) == 2
    assert not [number for number in asked.values() if re.search(rf"(?<![\w.]){number}(?![\w.])", script)]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (pip install fovbench[ray])")
def test_ray_takes_the_options_of_the_recipe_for_slurm():
    """`ray start --help` and `ray status --help` name each of them."""
    script = [line for line in RECIPE.splitlines() if not line.startswith("#")]
    for command, mark in {"start": "node", "status": "ray status"}.items():
        options = set(re.findall(r"--[a-z-]+", " ".join(line for line in script if mark in line)))
        call = [sys.executable, "-m", "ray.scripts.scripts", command, "--help"]
        known = subprocess.run(call, capture_output=True, text=True, check=True).stdout
        assert options
        assert not [option for option in options if option not in known]


def test_the_check_of_commands_sees_them():
    """Pages name most commands, so a change of their form would not go unnoticed."""
    assert {words[0] for page in PAGES for words in commands_of(page)} >= set(bench.commands)


# README


def test_ci_calls_the_readme_s_own_test_command():
    readme, ci = text_of("README.md"), text_of(".ci/run")
    assert "pip install -e . && bench run ablations/smoke.yaml" in readme
    assert "pip install tox && tox" in readme
    assert "\npip install tox && tox" in ci


def test_the_readme_is_short_and_has_the_generated_block():
    text = text_of("README.md")
    assert len([word for word in text.split() if re.search(r"\w", word)]) < 900
    assert 0 < text.index(BEGIN) < text.index(END)


def test_the_readme_s_ablation_is_the_one_of_its_table(tmp_path):
    (_, yaml), *_ = blocks("README.md", "yaml")
    (tmp_path / "stride.yaml").write_text(yaml, encoding="utf-8")
    ablation = load(tmp_path / "stride.yaml")
    rows = re.findall(r"^\| fcn\(stride=(\d+).*? \| \d+ \| ([\d.]+)[^|]* \| ([\d.]+)", text_of("README.md"), re.M)
    assert len(rows) == len(ablation.variants) == 3
    for variant, (stride, params, macs) in zip(ablation.variants, rows, strict=True):
        subject = Subject(lambda variant=variant: runnable("fcn").build(**variant.values), ablation.workload.shape)
        assert variant.values["stride"] == int(stride)
        assert f"{value('params', subject) / 1e3:.2f}" == params
        assert f"{value('macs', subject) / 1e6:.3f}" == macs


def value(metric: str, subject: Subject) -> float:
    return live(declarations().metrics.get(metric)).call(subject).value


# Python and YAML in pages


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_python_in_pages_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FOVBENCH_STORE", str(tmp_path / "store.sqlite"))
    codes = [code for info, code in blocks(page, "python") if info != "no-run"]
    assert codes
    for code in codes:
        exec(compile(code, page, "exec"), {"__name__": "__main__"})


def test_the_page_of_ablation_files_has_every_key_and_its_example_loads(tmp_path):
    page = text_of("docs/ablation.md")
    ((_, yaml),) = blocks("docs/ablation.md", "yaml")
    (tmp_path / "example.yaml").write_text(yaml, encoding="utf-8")
    ablation = load(tmp_path / "example.yaml")
    assert (len(ablation.variants), len(ablation.excluded), len(ablation.claims)) == (5, 1, 1)
    for model in (AblationFile, WorkloadSection, Exclusion, CompareWith, Answer, Claim):
        for name, field in model.model_fields.items():
            assert f"`{field.alias or name}`" in page, f"{model.__name__}: {name}"


def test_the_claims_of_the_page_of_ablation_files_are_the_grammar_s():
    from bench.spec import claims

    ((_, text),) = blocks("docs/ablation.md", "text")
    for line in text.splitlines():
        assert line in claims.__doc__


def test_the_examples_of_contributing_work(tmp_path):
    examples = [code for _, code in blocks("CONTRIBUTING.md", "python")]
    assert len(examples) == 2
    plugins = tuple(str(tmp_path / f"example{number}.py") for number in range(2))
    for path, code in zip(plugins, examples, strict=True):
        Path(path).write_text(code, encoding="utf-8")
    family = live(declarations(plugins).architectures.get("single"), plugins)
    fraction = live(declarations(plugins).metrics.get("bias_fraction"), plugins)
    for fact in family.facts:
        assert sum(p.numel() for p in family.build(**fact.when).parameters()) == fact.value
    assert fraction.call(Subject(lambda: family.build(kernel=1), (3, 8, 8))).value == 21 / 84


# DESIGN


def exists(name: str) -> bool:
    """Whether a name in DESIGN.md is a path, a command, or a module with its function or type."""
    if name.startswith("bench "):
        return (name.split()[1],) in ALL
    if "/" in name or name.endswith(".md"):
        return (ROOT / name).exists()
    for cut in range(name.count(".") + 1, 0, -1):
        module, rest = ".".join(name.split(".")[:cut]), name.split(".")[cut:]
        try:
            owner = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        for part in rest:
            owner = getattr(owner, part, None)
        return owner is not None
    return False


def test_every_name_in_the_design_exists():
    names_ = re.findall(r"`([^`]+)`", text_of("DESIGN.md"))
    assert len(names_) > 40
    assert [name for name in names_ if not exists(name)] == []


def test_a_name_that_is_gone_does_not_exist():
    assert not exists("bench.results.store.Shop")
    assert not exists("bench.shops.Store")
    assert not exists("bench/shops/")
    assert not exists("bench sell")


def test_the_design_names_each_room_and_at_most_eight_steps():
    text = text_of("DESIGN.md")
    rooms = {path.name for path in (ROOT / "bench").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(re.findall(r"^\| `bench/(\w+)/` \|", text, re.MULTILINE)) == rooms
    way = text.partition("## The way of one number")[2].partition("\n## ")[0]
    steps = re.split(r"^\d+\. ", way, flags=re.MULTILINE)[1:]
    assert 2 < len(steps) <= 8
    assert all(re.search(r"`bench\.[\w.]+`", step) or "driver" in step for step in steps)


# What is registered


@pytest.mark.parametrize("name", declarations().metrics.names())
def test_every_metric_has_a_definition(name):
    assert f"`{name}`" in text_of("docs/definitions.md")


HOOK = re.compile(r"(?:getattr|hasattr)\((?:\w+\.)*(?:model|structure|task), \"([a-z]\w*)\"")


def test_the_extension_guide_has_every_hook_of_networks_and_tasks():
    sources = [path.read_text("utf-8") for path in (ROOT / "bench").rglob("*.py")]
    hooks = {hook for source in sources for hook in HOOK.findall(source)} | {"evaluation_units"}
    assert {"loss", "class_weights", "receptive_field_taps", "conditioning_order"} <= hooks
    guide = text_of("docs/extending.md")
    assert [hook for hook in sorted(hooks) if not re.search(rf"`(@task\()?{hook}\b", guide)] == []


@pytest.mark.parametrize("name", names() or ["none"])
def test_every_ablation_of_the_repository_is_valid(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    ablation = load(ROOT / "ablations" / f"{name}.yaml")
    assert ablation.question.endswith("?")
    assert ablation.source


def test_every_registered_thing_says_what_it_is():
    registries = declarations()
    for kind in ("architectures", "metrics", "tasks", "datasets", "plots"):
        for entry in getattr(registries, kind):
            assert len(entry.summary) > 15, f"{kind}: {entry.name}"


def test_the_changelog_has_the_version():
    assert f"## [{__version__}]" in text_of("CHANGELOG.md") or f"## {__version__}" in text_of("CHANGELOG.md")
