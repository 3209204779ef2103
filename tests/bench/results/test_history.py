"""The history file: appended line by line, read in the order of commits."""

import pytest

from bench.results.history import Entry, HistoryError, Number, append, read

NUMBER = Number("a", "net", "macs", "static", 100.0, "MAC", "lower", {"shape": [3, 8, 8]})


def entry(day=1, commit="c" * 40, **how):
    return Entry(commit, f"2026-01-{day:02d}T00:00:00+00:00", "a commit", "2026-02-01T00:00:00+00:00", (NUMBER,), **how)


def test_what_is_appended_is_read_in_the_order_of_commits(tmp_path):
    file = tmp_path / "new folder" / "history.jsonl"
    append(file, entry(2, "b" * 40))
    append(file, entry(1, "a" * 40))
    assert read([file]) == [entry(1, "a" * 40), entry(2, "b" * 40)]


def test_dates_of_other_time_zones_are_ordered_by_time(tmp_path):
    early = Entry("a" * 40, "2026-01-02T01:00:00+05:00", "", "", (NUMBER,))
    late = Entry("b" * 40, "2026-01-01T23:00:00+00:00", "", "", (NUMBER,))
    file = append(append(tmp_path / "h.jsonl", late), early)
    assert [each.commit[0] for each in read([file])] == ["a", "b"]


def test_a_line_that_occurs_twice_counts_once(tmp_path):
    one, other = append(tmp_path / "a.jsonl", entry()), append(tmp_path / "b.jsonl", entry())
    assert read([one, other]) == [entry()]


def test_a_line_that_was_cut_off_is_named_and_costs_no_other(tmp_path):
    file = append(tmp_path / "h.jsonl", entry())
    file.write_text(file.read_text() + '{"layout": 1, "com')
    append(file, entry(2))
    assert len(file.read_text().splitlines()) == 3
    with pytest.raises(HistoryError, match=r"h\.jsonl:2: no line of a history"):
        read([file])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[]", "no line"),
        ("{}", "no line"),
        ('{"layout": 2}', "layout 2"),
        ('{"layout": 1, "numbers": [{"oops": 1}]}', "no line"),
        (
            '{"layout": 1, "numbers": [], "commit": "a", "date": "2026-01-01T00:00:00", "subject": "", "recorded": ""}',
            "time zone",
        ),
    ],
)
def test_another_line_is_refused(tmp_path, line, message):
    (tmp_path / "h.jsonl").write_text(f"{line}\n")
    with pytest.raises(HistoryError, match=rf"h\.jsonl:1: .*{message}"):
        read([tmp_path / "h.jsonl"])


def test_a_file_that_lacks_says_what_writes_it(tmp_path):
    with pytest.raises(HistoryError, match="bench history add"):
        read([tmp_path / "h.jsonl"])


def test_a_working_tree_with_changes_is_no_commit():
    assert entry(changed=True).label == "cccccccccc+"
