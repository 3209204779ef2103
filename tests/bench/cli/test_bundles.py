"""A clone without store and data: what its commands read from the committed results bundles, and what they say of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.report.committed import BEGIN, END
from bench.results.bundle import read, write
from bench.results.store import Store
from tests.bench.bundled import ablation_in, bundle_of, fill, shifted

FOLDER = Path("results") / "reference" / "absent"
READ_FROM = "note: static, speed and accuracy measurements read from results/reference/absent (measured 2026-01-02)"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with an ablation whose dataset is absent, and its results bundle; the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("FOVBENCH_DATA", "FOVBENCH_STORE"):
        monkeypatch.delenv(name, raising=False)
    ablation = ablation_in(tmp_path)
    write(bundle_of(ablation), FOLDER)
    return tmp_path


@pytest.fixture
def bench(clone, capsys):
    """Runs a command in this process; gives its standard output and error."""

    def bench(*arguments, code=0):
        capsys.readouterr()
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        assert status == code, err
        return out, err

    return bench


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_table_is_read_from_the_bundle_and_says_so(bench, clone):
    out, err = bench("table", "absent", "--format", "json")
    scores = [row for row in rows(out) if row["metric"] == "miou" and row["status"] == "measured"]
    assert [row["n"] for row in scores] == [3, 3]
    assert err.splitlines() == [READ_FROM]
    assert not (clone / "results" / "store.sqlite").exists()


def test_a_report_is_written_from_the_bundle(bench, clone):
    out, err = bench("report", "absent")
    page = (clone / out.strip()).read_text()
    assert out.strip() == "reports/site/absent/index.html"
    assert "18 of 18 measurements done, 0 failed, 0 not measured" in page
    assert READ_FROM.removeprefix("note: ") in page.replace("<wbr>", "")
    assert "<svg" in page
    assert READ_FROM in err


def test_the_whole_site_has_the_ablation_and_its_index(bench, clone):
    out, _ = bench("report", "--all")
    assert out.splitlines() == ["reports/site/absent/index.html", "reports/site/index.html"]
    assert 'href="absent/index.html"' in (clone / "reports" / "site" / "index.html").read_text()


def test_plan_and_why_need_neither_data_nor_store(bench):
    out, _ = bench("plan", "absent", "--json")
    assert {row["status"] for row in rows(out)} == {"due"}
    assert len(rows(out)) == 18
    out, err = bench("why", "absent", "params")
    assert out.count("never measured") == 2
    assert "the dataset camvid is not here" in err


def test_reading_loads_neither_torch_nor_the_architecture(clone):
    code = "import sys\nfrom bench.cli import main\nmain(['table', 'absent'])\n"
    code += "sys.exit('torch' in sys.modules or 'architectures.fcn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=clone)
    assert done.returncode == 0, done.stderr


def test_the_table_is_the_same_from_the_store_and_from_the_bundle_that_is_exported_from_it(bench, clone):
    ablation = ablation_in(clone)
    (clone / "results" / "reference" / "absent").rename(clone / "kept")
    with Store("results/store.sqlite") as store:
        fill(store, ablation)
        store.remember_fingerprint("camvid{}(3, 64, 64)", "train=1a,val=2b")
    local, err = bench("table", "absent", "--format", "json")
    assert "read from" not in err
    assert bench("export", "absent")[0].strip() == str(FOLDER)
    assert {p.name: p.read_bytes() for p in FOLDER.iterdir()} == {
        p.name: p.read_bytes() for p in Path("kept").iterdir()
    }
    (clone / "results" / "store.sqlite").unlink()
    committed, err = bench("table", "absent", "--format", "json")
    assert committed == local
    assert READ_FROM in err
    assert bench("table", "absent", "--format", "json", "--from", FOLDER)[0] == local


def test_from_reads_the_named_bundle_in_place_of_the_store(bench, clone):
    write(shifted(read(FOLDER), 1.0), clone / "other")
    out, err = bench("table", "absent", "--from", "other", "--format", "json")
    assert {row["value"] for row in rows(out) if row["metric"] == "output_stride"} == {33}
    assert "read from other" in err
    assert "not a results bundle" in bench("table", "absent", "--from", clone / "ablations", code=2)[1]


def test_import_puts_the_keyed_measurements_into_a_store_and_twice_changes_nothing(bench, clone):
    out, _ = bench("import", FOLDER)
    assert out.strip() == "18 of 18 measurements added to results/store.sqlite; 0 have no key"
    assert bench("import", FOLDER)[0].startswith("0 of 18 ")
    from_bundle, _ = bench("table", "absent", "--format", "json", "--from", FOLDER)
    out, err = bench("table", "absent", "--format", "json")
    assert out == from_bundle
    assert "read from" not in err.replace("read as it was last used", "")
    with Store("results/store.sqlite") as store:
        by_key = {r.measurement.key: r.measurement for r in store.records()}
    assert by_key == {r.measurement.key: r.measurement for r in read(FOLDER).records}


def test_import_skips_and_counts_measurements_without_a_key(bench, clone):
    bundle = read(FOLDER)
    text = (FOLDER / "measurements.csv").read_text()
    keys = [r.measurement.key for r in bundle.records if r.kind == "accuracy"]
    for key in keys:
        text = text.replace(key, "")
    (FOLDER / "measurements.csv").write_text(text)
    assert bench("import", FOLDER)[0].strip() == "6 of 18 measurements added to results/store.sqlite; 12 have no key"


def test_export_of_nothing_and_over_a_foreign_folder_is_refused(bench, clone):
    FOLDER.rename(clone / "moved")
    assert "nothing is stored of absent" in bench("export", "absent", code=2)[1]
    (clone / "moved").rename(FOLDER)
    assert "not overwritten" in bench("export", "absent", "--to", clone / "ablations", code=2)[1]
    assert (clone / "ablations" / "absent.yaml").exists()


def test_export_says_what_is_missing(bench, clone):
    ablation = ablation_in(clone)
    write(bundle_of(ablation, ("static",)), FOLDER)
    _, err = bench("export", "absent", "--to", "elsewhere")
    assert "note: 14 measurements are not stored, and not in the bundle" in err
    assert len(read(clone / "elsewhere").records) == 4


def test_compare_reads_bundles(bench, clone):
    write(shifted(read(FOLDER), 1.0), clone / "other")
    out, _ = bench("compare", FOLDER, "other")
    assert out.splitlines()[-1] == "10 differs"
    assert bench("compare", FOLDER, FOLDER)[0].splitlines()[-1] == "10 same"


def test_what_is_committed_is_written_from_the_bundles_and_checked_against_them(bench, clone):
    (clone / "README.md").write_text(f"# Mine\n\n{BEGIN}\nold\n{END}\nend\n")
    out, _ = bench("report", "--committed")
    assert out.splitlines() == ["reports/absent/index.md", "reports/README.md", "README.md"]
    assert bench("report", "--committed", "--check") == ("", "")
    readme = (clone / "README.md").read_text()
    assert readme.startswith("# Mine\n")
    assert readme.endswith(f"{END}\nend\n")
    assert "old" not in readme
    for name in ("reports/absent/index.md", "reports/README.md"):
        text = (clone / name).read_text()
        digit = next(i for i, sign in enumerate(text) if sign == "0" and text[i - 1] != "v")
        (clone / name).write_text(f"{text[:digit]}9{text[digit + 1 :]}")
        _, err = bench("report", "--committed", "--check", code=1)
        assert err == f"{name} differs from what the bundles say; write it with: bench report --committed\n"
        (clone / name).write_text(text)
    (clone / "reports" / "absent" / "index.md").unlink()
    assert "index.md differs" in bench("report", "--committed", "--check", code=1)[1]
    bench("report", "--committed")
    write(shifted(read(FOLDER), 0.01), FOLDER)
    assert bench("report", "--committed", "--check", code=1)[1].count("differs") == 2


def test_one_committed_page_leaves_the_index_whole(bench, clone):
    bench("report", "--committed")
    index = (clone / "reports" / "README.md").read_text()
    second = clone / "ablations" / "second.yaml"
    second.write_text((clone / "ablations" / "absent.yaml").read_text())
    from bench.spec.ablation import load

    write(bundle_of(load(second)), FOLDER.parent / "second")
    out, _ = bench("report", "second", "--committed")
    assert out.splitlines() == ["reports/second/index.md", "reports/README.md"]
    rows = [line for line in index.splitlines() if line.startswith("|")]  # a sentence above them counts all ablations
    assert set(rows) < set((clone / "reports" / "README.md").read_text().splitlines())
    assert bench("report", "--committed", "--check") == ("", "")


def test_committed_without_a_bundle_and_check_without_committed_are_usage_errors(bench, clone):
    assert "--check goes with --committed" in bench("report", "absent", "--check", code=2)[1]
    assert "no results bundle of other" in bench("report", "other", "--committed", code=2)[1]
    FOLDER.rename(clone / "moved")
    assert "no results bundle of any ablation" in bench("report", "--committed", code=2)[1]


def test_a_damaged_bundle_is_one_clear_line(bench):
    (FOLDER / "meta.json").write_text("[]")
    _, err = bench("table", "absent", code=2)
    assert err.startswith("error: results/reference/absent: a damaged results bundle (")
    assert len(err.splitlines()) == 1
