"""`bench watch`: counts, reasons of failures and the table so far, from the store alone."""

import html
import re

import pytest
from click.testing import CliRunner

from bench.cli import bench
from bench.hardware.process import this_process
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.plan import plan

FILE = "question: Which <width>?\narchitecture: fcn\nvary: {width: [0.25, 0.5]}\nmetrics: [params]\n"


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A store in which one variant is measured, one failed, and one is claimed by a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "widths.yaml").write_text(FILE)
    with Store(tmp_path / "s.sqlite") as store:
        requests = plan(load("widths.yaml"), store).requests
        for request, samples, error in zip(
            requests, [(1234567.0,), (), ()], [None, "oom: too <large> \x1b[31m", ""], strict=True
        ):
            if error != "":
                made = Measurement(
                    request.key, request.variant, request.workload, "params", "1", "lower", samples, True, None, 1.0, {},
                    error,
                )  # fmt: skip
                store.add([(made, "static", request.parts)])
        store.claim([requests[2].key], "1@1.0", lambda owner: True)
    return tmp_path


def watched(*arguments):
    result = CliRunner().invoke(bench, ["watch", "widths.yaml", "--store", "s.sqlite", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_once_says_what_is_done_failed_and_left_and_the_table_so_far(sweep):
    before = (sweep / "s.sqlite").read_bytes()
    lines = watched("--once").splitlines()
    assert lines[1].startswith(
        "1 done, 1 failed, 1 left (1 of them claimed by a run that has ended, or is on another machine)"
    )
    assert lines[2] == r"fcn(width=0.25) params: oom: too <large> \x1b[31m"
    assert "| 1.2" in "\n".join(lines)
    assert (sweep / "s.sqlite").read_bytes() == before


def test_the_page_says_the_same_with_the_table_as_one(sweep):
    text = watched("--once").splitlines()
    assert watched("--once", "--html", "out/page.html") == ""
    page = (sweep / "out" / "page.html").read_text()
    assert html.escape(text[1]) in page
    assert "<br>\nfcn(width=0.25) params: oom: too &lt;large&gt; \\x1b[31m" in page
    assert "<h1>Which &lt;width&gt;?</h1>" in page
    table = [re.sub(r"\\(.)", r"\1", line.strip("| ")).split(" | ") for line in text if "|" in line]
    parsed = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*)</tr>", page)]
    assert [[html.unescape(entry) for entry in row] for row in parsed] == [table[0], *table[2:]]
    assert len(parsed) == 4
    notes = [line.removeprefix("- ") for line in text if line.startswith("- ")]
    assert [html.unescape(item) for item in re.findall("<li>(.*)</li>", page)] == notes
    assert 'http-equiv="refresh"' not in page
    assert [file.name for file in (sweep / "out").iterdir()] == ["page.html"]


def test_the_page_refreshes_while_anything_is_left(sweep, monkeypatch):
    pages = []

    def measured(seconds):
        pages.append((sweep / "page.html").read_text())
        with Store(sweep / "s.sqlite") as store:
            request = plan(load("widths.yaml"), store).due[0]
            made = Measurement(
                request.key, request.variant, request.workload, "params", "1", "lower", (5.0,), True, None, 1.0, {}
            )
            store.add([(made, "static", request.parts)])

    monkeypatch.setattr("bench.cli.watching.time.sleep", measured)
    watched("--html", "page.html", "--every", "7s")
    assert 'content="7"' in pages[0]
    assert 'http-equiv="refresh"' not in (sweep / "page.html").read_text()


def test_a_store_that_is_not_there_reads_as_empty(sweep):
    (sweep / "s.sqlite").unlink()
    assert "0 done, 0 failed, 3 left" in watched("--once")
    assert not (sweep / "s.sqlite").exists()


def test_a_claim_of_a_run_that_goes_on_is_one(sweep):
    with Store(sweep / "s.sqlite") as store:
        left = plan(load("widths.yaml"), store).due
        store.claim([request.key for request in left], this_process(), lambda owner: False)
    assert "1 left (1 of them claimed by a run)" in watched("--once")


def test_a_page_that_cannot_be_written_is_named(sweep):
    (sweep / "file").write_text("no folder")
    for page, reason in (("file/page.html", "File exists"), ("file/below/page.html", "Not a directory")):
        result = CliRunner().invoke(bench, ["watch", "widths.yaml", "--store", "s.sqlite", "--once", "--html", page])
        assert result.exit_code
        assert result.output == f"Error: {page}: cannot be written ({reason}); name another with --html\n"
