"""The workflow files of docs/ci: their steps are executed in a git repository of a project that `bench init` makes."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
CI = ROOT / "docs" / "ci"
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
PIP = '#!/bin/sh\nif [ "$2" = pip ]; then echo "$@" >> "$INSTALLED"; else exec {python} "$@"; fi\n'
"""`python -m pip` only writes down what it was asked for; every other use of `python` is this Python."""


def read(name):
    return YAML(typ="safe").load((CI / name).read_text())


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_bench_init_writes_the_documented_file(name):
    template = ROOT / "bench" / "registry" / "starter" / f"{name}.yml.txt"
    assert template.read_text() == (CI / f"{name}.yml").read_text()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """(folder of a repository of two commits, of which the second changes a comment; environment of a runner)."""
    base = tmp_path_factory.mktemp("ci")
    folder, programs = base / "mine", base / "bin"
    programs.mkdir()
    program(programs / "python", PIP.format(python=sys.executable))
    program(programs / "bench", f'#!/bin/sh\nexec {sys.executable} -m fovbench "$@"\n')
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "INSTALLED": str(base / "installed"),
        "GITHUB_STEP_SUMMARY": str(base / "summary.md"),
        "GITHUB_OUTPUT": str(base / "output"),
    }
    shell(base, environment, "bench init mine --ci github")
    subprocess.run([*GIT, "init", "-q"], cwd=folder, check=True)
    for text in ("", "# a remark\n"):
        with (folder / "network.py").open("a") as stream:
            stream.write(text)
        subprocess.run([*GIT, "add", "-A"], cwd=folder, check=True)
        subprocess.run([*GIT, "commit", "-qm", "a commit"], cwd=folder, check=True)
    return folder, environment


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def shell(folder, environment, script):
    """What GitHub and GitLab do with a step; the standard output."""
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_step_of_the_github_workflow_runs(project):
    folder, environment = project
    steps = read("github.yml")["jobs"]["gate"]["steps"]
    for step in (step for step in steps if "run" in step):
        given = dict.fromkeys(step.get("env", {}), "HEAD~1")
        shell(folder, {**environment, **given}, step["run"])
    assert (folder.parent / "installed").read_text() == "-m pip install fovbench\n"
    summary = (folder.parent / "summary.md").read_text()
    assert summary.count("## ✅ bench gate: pass") == 2
    assert "- 2 with the same code in both revisions: `skip: ownnet(skip=false,classes=2)`, " in summary
    site = folder / "reports" / "site"
    assert "bench gate: pass" in (site / "gate.svg").read_text()
    assert len(ET.parse(site / "numbers.xml").findall(".//testcase")) == 4
    assert len(ET.parse(site / "speed.xml").findall(".//skipped")) == 2
    assert (site / "skip" / "index.html").is_file()
    status = subprocess.run([*GIT, "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True)
    assert status.stdout == "", "a run in CI leaves nothing that git would commit"


def test_the_composite_action_runs_and_says_its_exit_code(project):
    folder, environment = project
    action = read("action.yml")
    inputs = {f"${{{{ inputs.{name} }}}}": entry["default"] for name, entry in action["inputs"].items()}
    for step in (step for step in action["runs"]["steps"] if "run" in step):
        given = {name: inputs[value] for name, value in step.get("env", {}).items()}
        shell(folder / inputs.get(step.get("working-directory"), "."), {**environment, **given}, step["run"])
    assert (folder.parent / "output").read_text() == "exit-code=0\n"


def test_the_scripts_of_gitlab_run(project):
    folder, environment = project
    workflow = read("gitlab.yml")
    given = {**environment, "CI_MERGE_REQUEST_DIFF_BASE_SHA": "HEAD~1"}
    for job in ("numbers", "speed"):
        for line in (*workflow["default"]["before_script"], *workflow[job]["script"]):
            shell(folder, given, line)
        assert (folder / workflow[job]["artifacts"]["reports"]["junit"]).is_file()
    assert (folder / "reports" / "site" / "speed.md").read_text().startswith("## ✅ bench gate: pass")


def test_the_action_fails_where_a_number_changed(project):
    folder, environment = project
    file = folder / "results" / "expected" / "skip.csv"
    text = file.read_text()
    assert ",params,858" in text
    file.write_text(text.replace(",params,858", ",params,850"))
    step = read("action.yml")["runs"]["steps"][-1]["run"]
    given = {**environment, "BUDGET": "5m", "TOLERANCE": "3%", "AGAINST": ""}
    done = subprocess.run(["bash", "-e", "-c", step], cwd=folder, env=given, capture_output=True, text=True)
    file.write_text(text)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert line.startswith("::error file=network.py,line=30,title=worse%3A skip%3A ownnet(")
    assert "850 -> 858 (+0.9 %25)" in line
    assert (folder.parent / "output").read_text().endswith("exit-code=1\n")
