"""The documentation is true: its commands exist, its links lead somewhere, its code runs."""

import re
from pathlib import Path

import click
import pytest

from bench.cli import bench
from bench.registry.catalogue import declarations, live
from bench.registry.versions import __version__
from bench.spec.ablation import load, names

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def commands(group=bench, prefix=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name), command


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_every_command_and_every_option_has_help(name):
    command = ALL[name]
    assert command.help
    assert len(command.get_short_help_str(60)) > 10
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.name in ("batch", "device", "dtype", "threads"), (name, parameter.name)


@pytest.mark.parametrize("name", [n for n in ALL if len(n) == 1], ids=" ".join)
def test_every_command_stands_in_the_readme(name):
    text = (ROOT / "README.md").read_text()
    assert re.search(rf"\bbench {name[0]}\b|`{name[0]}`", text), f"README says nothing of bench {name[0]}"


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        if "://" not in target:
            assert (ROOT / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_code_blocks_exist(page):
    text = (ROOT / page).read_text()
    for name in re.findall(r"^bench (\w+)", text, re.MULTILINE):
        assert any(known[0] == name for known in ALL), f"{page}: bench {name}"


def test_ci_calls_the_readme_s_own_test_command():
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert "pip install tox && tox" in readme
    assert "\npip install tox && tox" in ci


def test_the_readme_s_ablation_is_one(tmp_path):
    text = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    (tmp_path / "readme.yaml").write_text(text)
    ablation = load(tmp_path / "readme.yaml")
    assert len(ablation.variants) == 5
    assert (len(ablation.excluded), len(ablation.claims)) == (1, 1)


def test_the_examples_of_contributing_work(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        (tmp_path / f"example{number}.py").write_text(block)
    plugins = tuple(str(tmp_path / f"example{n}.py") for n in range(2))
    family = live(declarations(plugins).architectures.get("single"), plugins)
    share = live(declarations(plugins).metrics.get("bias_share"), plugins)
    for fact in family.facts:
        assert sum(p.numel() for p in family.build(**fact.when).parameters()) == fact.value

    class Subject:
        model = family.build(kernel=1)

    assert share.call(Subject).value == 21 / 84


@pytest.mark.parametrize("name", names() or ["none"])
def test_every_ablation_of_the_repository_is_valid(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    ablation = load(ROOT / "ablations" / f"{name}.yaml")
    assert ablation.question.endswith("?")
    assert ablation.source


def test_every_registered_thing_says_what_it_is():
    registries = declarations()
    for sort in ("architectures", "metrics", "tasks", "datasets", "plots"):
        for entry in getattr(registries, sort):
            assert len(entry.summary) > 15, f"{sort}: {entry.name}"


def test_the_changelog_tells_of_the_version():
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
