"""A failed measurement explains itself: its error is printed, its traceback on request, in the page it is collapsed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.cli import main
from bench.results.bundle import read, write
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.exporting import bundle_of

TEXT = "question: Why?\narchitecture: trivial\nbaseline: {a: 4}\nvary: {a: [1]}\nmetrics: [deadly, twice]\n"
ERROR = "failed: ValueError: four is right out (tests/bench/trivial.py:47)"
WHERE = 'trivial.py", line'


@pytest.fixture
def bench(tmp_path, plugin, capsys, monkeypatch):
    """Runs a command on a store of its own; gives (exit status, stdout, stderr)."""
    file = tmp_path / "why.yaml"
    file.write_text(TEXT)
    monkeypatch.delenv("FOVBENCH_DEBUG", raising=False)
    common = ["--plugin", plugin, "--store", str(tmp_path / "s.sqlite")]

    def bench(command: str, *arguments: str, name: str = str(file)):
        status = 0
        try:
            main([command, name, *common, *arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    bench.file, bench.store = file, tmp_path / "s.sqlite"
    return bench


def test_every_command_says_the_error_and_with_debug_where(bench, tmp_path, plugin):
    status, _, err = bench("run", "--no-report", "--workers", "1", "--debug")
    assert status == 1
    last = err[err.rindex("trivial(a=4) deadly: ") :]
    assert last.startswith(f"trivial(a=4) deadly: {ERROR}\n    Traceback (most recent call last):\n")
    assert WHERE in last

    assert f"trivial(a=4) deadly: {ERROR}" in bench("run", "--no-report")[2]
    for command, place in (("plan", 1), ("why", 1), ("table", 2)):
        plain, debug = bench(command), bench(command, "--debug")
        assert ERROR in plain[place]
        assert WHERE not in plain[1] + plain[2]
        assert WHERE in debug[place]
    assert '"traceback": "Traceback' in bench("plan", "--json")[1]

    with Store(bench.store) as store:
        (m,) = [r.measurement for r in store.records() if r.measurement.error]
        bundle, _ = bundle_of(load(str(bench.file), (), [plugin]), store, None)
    assert not re.search(r"(?<![\w.])/\w+/", m.traceback)
    write(bundle, tmp_path / "bundle")
    assert [r.measurement.traceback for r in read(tmp_path / "bundle").records if r.measurement.error] == [m.traceback]
    assert WHERE in bench("table", "--debug", "--from", str(tmp_path / "bundle"))[2]

    status, out, _ = bench("report", "--out", str(tmp_path / "site"))
    page = Path(out.strip()).read_text()
    assert "<details><summary>traceback</summary><pre>Traceback (most recent call last):" in page
    assert "trivial.py&#34;, line" in page
