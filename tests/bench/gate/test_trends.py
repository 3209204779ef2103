"""Trends of made-up commits, in numbers, words and as a page."""

import numpy as np
import pytest

from bench.gate.history_page import UrlError, checked_url, rows_of, text_table, write_page
from bench.gate.paired import Comparison
from bench.gate.trends import series_of, timed
from bench.results.history import Entry, Number, append, read


def history(*numbers):
    """A commit a day, each with these numbers: functions of the place of the commit."""
    return [
        Entry(f"{place:02d}" * 20, f"2026-01-{place + 1:02d}T00:00:00+00:00", "", "", tuple(n(place) for n in numbers))
        for place in range(14)
    ]


def macs(place):
    return Number("a", "net", "macs", "static", 100.0 if place < 4 else 120.0, "MAC", "lower")


def latency(device="A", factor=1.05, speed=1.0):
    noise = np.random.default_rng(len(device)).normal(0, 0.003, 14)

    def number(place):
        value = 0.01 * speed * float(np.exp(noise[place])) * (factor if place >= 8 else 1)
        return Number("a", "net", "latency", "speed", value, "s", "lower", {"machine": {"device": device}})

    return number


def test_a_static_number_changes_at_one_commit():
    (series,) = series_of(history(macs))
    (change,) = series.changes
    assert (change.label, change.before, change.ratio, change.direction) == ("0404040404", "0303030303", 1.2, "worse")


@pytest.mark.parametrize(("factor", "direction"), [(1.05, "worse"), (0.95, "better")])
def test_a_time_changes_where_its_level_does(factor, direction):
    (series,) = series_of(history(latency(factor=factor)))
    (change,) = series.changes
    assert (change.label, change.direction) == ("0808080808", direction)
    assert change.ratio == pytest.approx(factor, abs=0.01)


def test_times_of_other_machines_are_other_series():
    one, other = series_of(history(latency(), latency("BB", speed=3.0)))
    assert max(one.values) < min(other.values)
    assert [row.texts[1] for row in rows_of([one, other])] == [
        "net (machine.device: A)",
        "net (machine.device: BB)",
    ]


def test_numbers_in_another_unit_are_other_series_that_say_so():
    def memory(place):
        return Number("a", "net", "memory", "speed", 1.0, "MiB" if place < 7 else "GiB", "lower")

    assert [row.texts[1] for row in rows_of(series_of(history(memory)))] == ["net (unit: MiB)", "net (unit: GiB)"]


def test_a_long_error_does_not_widen_the_table():
    def broken(place):
        return Number("a", "net", "macs", "static", None, error="failed: " + "x" * 900 + "\n\x1b[31m")

    assert max(map(len, text_table(rows_of(series_of(history(broken)))))) < 130


def test_commits_of_one_second_are_in_the_order_in_which_they_were_recorded(tmp_path):
    first, second = (
        Entry(name, "2026-01-01T00:00:00+00:00", "", f"2026-01-01T00:00:0{place}+00:00", ())
        for place, name in enumerate(("b", "a"))
    )
    for entries in ((first, second), (second, first)):
        file = tmp_path / f"{entries[0].commit}.jsonl"
        for entry in entries:
            append(file, entry)
        assert [entry.commit for entry in read([file])] == ["b", "a"]


def test_machines_in_turn_make_no_change_points():
    def alternating(place):
        return latency("A" if place % 2 else "BB", 1.0, 3.0 if place % 2 else 1.0)(place)

    assert [series.changes for series in series_of(history(alternating))] == [(), ()]


def test_a_commit_that_was_measured_twice_is_one_point():
    days = history(latency(factor=1.0))
    (series,) = series_of([*days, *days])
    assert len(series.points) == 14


def test_a_network_that_fails_has_its_error():
    def broken(place):
        return Number("a", "net", "macs", "static", None if place == 13 else 100.0, error="failed: oops")

    (series,) = series_of(history(broken))
    assert (series.last, series.points[-1].error, series.changes) == (None, "failed: oops", ())
    assert "failed: oops" in "\n".join(text_table(rows_of([series])))


def test_few_commits_say_how_many_are_needed():
    (series,) = series_of(history(latency())[:4])
    assert series.note == "4 of the 6 commits that change points need"


def test_names_choose_series():
    entries = history(macs, latency())
    assert [each.metric for each in series_of(entries, metrics=["macs"])] == ["macs"]
    assert series_of(entries, ablations=["other"]) == []


def test_the_page_links_commits_and_needs_no_other_file(tmp_path):
    page = write_page(series_of(history(macs, latency())), tmp_path, "https://example.org/commit/{commit}")
    text = page.read_text()
    assert page == tmp_path / "history.html"
    assert text.count("<figure") == 2
    assert f'href="https://example.org/commit/{"08" * 20}"' in text
    assert "<script" not in text
    assert 'href="index.html"' not in text


def test_hostile_texts_stay_texts(tmp_path):
    def hostile(place):
        return Number("<b>a</b>", "<script>", "m", "static", float(place), error="<i>")

    entries = [Entry('"><b>', e.date, "", "", e.numbers) for e in history(hostile)]
    text = write_page(series_of(entries), tmp_path, "https://example.org/{commit}").read_text()
    assert "<script>" not in text
    assert '"><b>' not in text


@pytest.mark.parametrize("url", ["javascript:alert(1)//{commit}", "https://example.org/commit/", "{commit}"])
def test_another_address_is_refused(url):
    with pytest.raises(UrlError, match="https://HOST"):
        checked_url(url)


ROUNDS = {"rounds": 12, "left_out": 2}


def test_a_comparison_gives_the_time_of_now_and_what_it_was_compared_with():
    seen = Comparison("a: net, b", "latency", "regression", 1.05, (1.04, 1.06), **ROUNDS, a=0.010, b=0.0105)
    broken = Comparison("a: other", "latency", "broken", error="now: failed: oops")
    unseen = Comparison("a: third", "latency", "inconclusive")
    first, second = timed([seen, broken, unseen], "abc")
    assert (first.ablation, first.variant, first.value) == ("a", "net, b", 0.0105)
    assert first.detail == {"against": "abc", "ratio": 1.05, "interval": (1.04, 1.06), "verdict": "regression"} | ROUNDS
    assert (second.value, second.error) == (None, "now: failed: oops")
