"""Malformed files and command lines: one or two lines that help, exit status 2, no file written."""

import re

import pytest

from bench.cli import main

GOOD = {
    "question": "Does it?",
    "architecture": "fcn",
    "baseline": "{stride: 32, skips: false}",
    "metrics": "[params]",
}


def text(**changes):
    keys = {**GOOD, **changes}
    return "".join(f"{key}: {value}\n" for key, value in keys.items() if value is not None)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"

FILES = {
    "wrong key": (text(questoin="x"), r"f\.yaml:5:1: there is no key 'questoin', did you mean 'question'\?"),
    "no question": (text(question=None), r"f\.yaml.*key 'question' is missing"),
    "empty question": (text(question="''"), r"f\.yaml:1:1: 'question'"),
    "no metrics": (text(metrics=None), r"key 'metrics' is missing"),
    "empty metrics": (text(metrics="[]"), r"f\.yaml:4:1: 'metrics'"),
    "metrics no list": (text(metrics="params"), r"f\.yaml:4:1: 'metrics'.*list"),
    "unknown metric": (text(metrics="[parms]"), r"f\.yaml:4:11: no metric is called 'parms', did you mean 'params'\?"),
    "metric twice": (text(metrics="[params, params]"), r"f\.yaml:4:19: 'params' is listed twice"),
    "metric of another task": (text(metrics="[elsewhere]", architecture="trivial", baseline="{}"), r"4:11: 'elsewhere' is for"),
    "unknown architecture": (text(architecture="fnc"), r"f\.yaml:2:1: no architecture is called 'fnc', did you mean 'fcn'\?"),
    "architecture a list": (text(architecture="[fcn]"), r"f\.yaml:2:1: 'architecture'.*string"),
    "unknown axis": (text(baseline="{strid: 8}"), r"f\.yaml:3:12: 'fcn' has no axis 'strid', did you mean 'stride'\?"),
    "value outside its Literal": (text(baseline="{stride: 9}"), r"f\.yaml:3:12: axis 'stride' takes 32 \| 16 \| 8, not 9"),
    "wrong type of value": (text(baseline="{width: wide}"), r"f\.yaml:3:12: axis 'width' takes float"),
    "out of bounds": (text(baseline="{width: 99}"), r"axis 'width' takes float, .*, not 99"),
    "baseline no mapping": (text(baseline="[1]"), r"f\.yaml:3:1: 'baseline'"),
    "vary unknown axis": (text(vary="{strid: [8]}"), r"f\.yaml:5:8: 'fcn' has no axis 'strid'"),
    "vary wrong value": (text(vary="{stride: [8, 7]}"), r"f\.yaml:5:20: axis 'stride' takes 32 \| 16 \| 8, not 7"),
    "vary no list": (text(vary="{stride: 8}"), r"f\.yaml:5:8: 'vary\.stride'.*list"),
    "empty vary": (text(vary="{stride: []}"), r"f\.yaml:5:8: 'vary\.stride' lists no values"),
    "empty grid": (text(grid="{stride: []}"), r"f\.yaml:5:8: 'grid\.stride' lists no values"),
    "value twice": (text(vary="{stride: [8, 8]}"), r"lists a value twice"),
    "zip of two lengths": (text(zip="{stride: [8, 16], skips: [true]}"), r"one length: stride has 2, skips has 1"),
    "exclude without reason": (text(exclude="[{when: {stride: 8}}]"), r"f\.yaml:5.*'?exclude\.0\.because'? is missing"),
    "exclude unknown axis": (text(exclude="[{when: {x: 8}, because: no}]"), r"f\.yaml:5:\d+: 'fcn' has no axis 'x'"),
    "exclude nothing": (text(exclude="[{when: {stride: 8}, because: no}]"), r"excludes nothing"),
    "exclude the baseline": (text(exclude="[{when: {stride: 32}, because: no}]"), r"excludes the baseline"),
    "seeds zero": (text(seeds="0"), r"f\.yaml:5:1: 'seeds' is a number from 1"),
    "seeds twice": (text(seeds="[1, 1]"), r"'seeds' is a number from 1, or a list of different seeds"),
    "seeds without end": (text(seeds="500000000"), r"'seeds' is at most 10000"),
    "a seed too long": (text(seeds="[1180591620717411303424]"), r"a seed is below"),
    "timeout without end": (text(timeout=".inf"), r"'timeout'"),
    "seeds a word": (text(seeds="many"), r"f\.yaml:5:1: 'seeds"),
    "steps below one": (text(train="{steps: 0}"), r"f\.yaml:5:9: 'train\.steps'.*not 0"),
    "steps a string": (text(train="{steps: '5'}"), r"'train\.steps'.*integer"),
    "unknown recipe key": (text(train="{lrr: 1}"), r"f\.yaml:5:9: there is no key 'lrr', did you mean 'lr'\?"),
    "unknown workload key": (text(workload="{datset: context}"), r"did you mean 'dataset'\?"),
    "unknown dataset": (text(workload="{dataset: contxt}"), r"no dataset is called 'contxt', did you mean 'context'\?"),
    "unknown data axis": (text(workload="{dataset: {name: context, distnce: 3}}"), r"did you mean 'distance'\?"),
    "dataset without name": (text(workload="{dataset: {distance: 3}}"), r"'workload\.dataset' needs a name"),
    "shape of zero": (text(workload="{shape: [3, 0, 8]}"), r"needs positive sizes"),
    "unknown device": (text(workload="{device: gpu}"), r"'workload\.device'"),
    "missing data": (text(workload="{dataset: camvid}", metrics="[miou]"), r"camvid \(train\): not found, no data folder given"),
    "claim of no axis": (text(claims="[{says: 'params[strid=8] > params'}]"), r"f\.yaml:5:\d+: claim: 'fcn' has no axis 'strid', did you mean 'stride'\?"),
    "claim of no metric": (text(claims="[{says: parms > 1}]"), r"f\.yaml:5:\d+: claim: the ablation does not measure 'parms', did you mean 'params'\?"),
    "claim of no variant": (text(claims="[{says: 'params[stride=8] > 1'}]"), r"f\.yaml:5:\d+: claim: no variant here has stride=8 \(there is: 32\)"),
    "claim without sense": (text(claims="[{says: it is better}]"), r"f\.yaml:5:\d+: claim: the ablation does not measure 'it'"),
    "duplicate key": (text() + "question: again\n", r"f\.yaml:5:1: key 'question' is listed twice"),
    "YAML bomb": (BOMB, r"f\.yaml:1:4: anchors and aliases are not used"),
    "deep nesting": ("a: " + "[" * 40 + "]" * 40, r"f\.yaml:1:\d+: nested deeper than"),
    "a tag": ("question: !!python/object:os.system x\n", r"f\.yaml:1:11: tags are not used"),
    "broken YAML": ("question: [a\nb: {", r"f\.yaml:\d+:\d+: not valid YAML"),
    "a tab": ("question:\n\t- x\n", r"f\.yaml:2:1: not valid YAML"),
    "not UTF-8": (b"question: ok\nsource: \xff\xfe\n", r"f\.yaml:2:1: not UTF-8"),
    "empty file": ("", r"f\.yaml:1:1: an ablation is a mapping"),
    "a list": ("- a\n- b\n", r"f\.yaml:1:1: an ablation is a mapping"),
    "huge file": ("#" * 300_000, r"larger than 256 KiB"),
    "zero bytes": (b"\x00\x01\x02", r"f\.yaml:1:1: not valid YAML: control character U\+0000"),
    "an escape sequence": (text(question="Does \x1b[31mit?"), r"f\.yaml:1:16: not valid YAML: control character U\+001B"),
    "a control character of Latin-1": (text(source="a\x9bb"), r"f\.yaml:5:10: not valid YAML: control character U\+009B"),
    "text from right to left": (text(source="a\u202eb"), r"f\.yaml:5:10: not valid YAML: control character U\+202E"),
    "an escaped control character": (text(question='"Does \\e[31m it?"'), r"f\.yaml:1:11: control character U\+001B in a text"),
    "an escaped NUL": (text(claims='[{says: "params > 1", source: "Table\\0"}]'), r"f\.yaml:5:\d+: control character U\+0000 in a text"),
    "an escaped control character in a key": (text(baseline='{"stri\\x07de": 8}'), r"f\.yaml:3:\d+: control character U\+0007 in a text"),
    "an escaped carriage return": (text(labels='{baseline: "a\\rb"}'), r"f\.yaml:5:\d+: control character U\+000D in a text"),
    "half a surrogate pair": (text(source='"\\ud800"'), r"f\.yaml:5:\d+: .*(U\+D800|not valid YAML)"),
    "infinite rate": (text(train="{lr: .inf}"), r"f\.yaml:5:9: 'train\.lr': .*finite number, not inf"),
    "rate that is no number": (text(train="{lr: .nan}"), r"f\.yaml:5:9: 'train\.lr': .*finite number, not nan"),
    "claim with itself": (text(claims="[{says: params == params}]"), r"f\.yaml:5:\d+: claim: '==' compares params of a variant with itself"),
    "claim of constants": (text(claims="[{says: '1 > 0'}]"), r"f\.yaml:5:\d+: claim: a comparison is about one metric, not numbers only"),
    "claim of an infinite number": (text(claims="[{says: 'params < 1e999'}]"), r"f\.yaml:5:\d+: claim: the number 1e999 is infinite"),
    "a string that looks like a number": (text(baseline="{stride: '32'}"), r"f\.yaml:3:12: axis 'stride' takes 32 \| 16 \| 8 \(int\), not '32' \(str\)"),
    "code of a file": (text(architecture="net.py:see"), r"f\.yaml:2:1: 'net\.py:see' would run code from net\.py; allow it with --plugin net\.py"),
    "code of a module": (text(architecture="this:see"), r"f\.yaml:2:1: 'this:see' would run code from this; allow it with --plugin this"),
    "code of a file to compare with": (text(compare_with="[{architecture: net.py:see}]"), r"f\.yaml:5:\d+: 'net\.py:see' would run code from net\.py"),
    "old and new key": (text(beside="[]", compare_with="[]"), r"f\.yaml:5:1: 'beside' is the old name of 'compare_with'"),
    "too many seeds": (text(metrics="[miou]", vary="{width: [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.5, 1.9, 1.8]}", seeds="10000"), r"f\.yaml:6:1: 12 variants x 10,000 seeds are 120,000 training runs; at most 100,000"),
}  # fmt: skip

LINES = {
    "name of the parent folder": (["run", "...yaml"], r"the name of an ablation, '\.\.', is also that of a folder"),
    "name of the same folder": (["run", "..yaml"], r"the name of an ablation, '\.', is also that of a folder"),
    "name that hides": (["table", ".hidden.yaml"], r"the name of an ablation, '\.hidden', is also that of a folder"),
    "name with a separator": (["report", "a\\b.yaml"], r"is also that of a folder: rename the file"),
    "name with a drive": (["plan", "c:x.yaml"], r"is also that of a folder: rename the file"),
    "name with an escape sequence": (["plan", "a\x1b[31m.yaml"], r"a\\x1b\[31m\.yaml': the name of an ablation"),
    "control character in --set": (["plan", "f.yaml", "--set", 'question="\\e"'], r"value:1:1: control character U\+001B"),
    "raw control character in --set": (["plan", "f.yaml", "--set", "question=a\x1b"], r"value:1:2: .*control character U\+001B"),
    "control character in an axis": (["measure", "fcn", "stride=\x1b[31m"], r"control character U\+001B"),
    "control character in a name": (["measure", "f\x1bcn"], r"no architecture is called 'f\\x1bcn'"),
    "NUL in a path": (["plan", "a\x00.yaml"], r"error: "),
    "axis of the wrong type": (["measure", "fcn", "stride='32'"], r"axis 'stride' takes 32 \| 16 \| 8 \(int\), not '32' \(str\)"),
    "no command": (["rnu"], r"No such command 'rnu'. Did you mean 'run'\?"),
    "no such option": (["run", "f.yaml", "--wrkers", "2"], r"No such option.*--workers"),
    "no ablation": (["run"], r"Missing argument 'ABLATION\.\.\.'"),
    "no such file": (["run", "ablations/none.yaml"], r"none\.yaml: there is no such file"),
    "no such name": (["table", "good"], r"no ablation is called 'good' in the folder ablations/ here"),
    "a folder": (["run", "folder.yaml"], r"folder\.yaml: cannot be read"),
    "set without value": (["run", "f.yaml", "--set", "train.steps"], r"--set train\.steps: write it as key=value"),
    "set below a value": (["run", "f.yaml", "--set", "question.a=1"], r"'question' holds no keys"),
    "set wrong value": (["run", "f.yaml", "--set", "train.steps=few"], r"'train\.steps'.*not few"),
    "only unknown": (["run", "f.yaml", "--only", "parms"], r"--only parms: .*did you mean 'params'\?"),
    "rerun unknown": (["run", "f.yaml", "--rerun", "fialed"], r"--rerun fialed: .*did you mean 'failed'\?"),
    "budget": (["run", "f.yaml", "--budget", "soon"], r"'soon' is not a duration; write 45s, 30m or 2h"),
    "workers": (["run", "f.yaml", "--workers", "0"], r"--workers"),
    "no such data folder": (["run", "f.yaml", "--data", "nowhere"], r"nowhere.*does not exist"),
    "no such plug-in": (["run", "f.yaml", "--plugin", "none.py"], r"plug-in 'none\.py': no such file"),
    "store that is none": (["plan", "f.yaml", "--store", "f.yaml"], r"f\.yaml: not a results store"),
    "format": (["table", "f.yaml", "--format", "xml"], r"'xml' is not one of"),
    "shape": (["measure", "fcn", "--shape", "3,a"], r"'3,a' is not a shape"),
    "axis without value": (["measure", "fcn", "stride"], r"'stride': write an axis as name=value"),
    "no batch": (["measure", "fcn", "--batch", "1,0"], r"'1,0' is not a list of numbers from 1"),
    "graph without a GPU": (["measure", "fcn", "--graph"], r"graph: CUDA graphs need a CUDA device, not 'cpu'"),
    "no model of timm": (["measure", "timm:resnet5O"], r"timm has no model 'resnet5O', did you mean 'resnet50"),
    "no network to verify": (["verify", "timm:badname"], r"timm has no model 'badname'"),
    "wrong axis": (["measure", "fcn", "strid=8"], r"'fcn' has no axis 'strid', did you mean 'stride'\?"),
    "wrong target": (["measure", "fcm"], r"no architecture is called 'fcm', did you mean 'fcn'\?"),
    "accuracy in measure": (["measure", "fcn", "--metrics", "miou"], r"'miou' needs training"),
    "no such target file": (["measure", "nope.py:net"], r"'nope\.py': there is no such file or module; a target is file\.py:callable"),
    "file that breaks": (["measure", "breaks.py:net"], r"breaks\.py:1: cannot be imported: ZeroDivisionError"),
    "file that exits": (["measure", "exits.py:net"], r"exits\.py:1: cannot be imported: SystemExit"),
    "a parameter by place": (["measure", "net.py:placed", "k=2"], r"'k' has neither a default nor an annotation: write its type, such as k: int \(or float, bool, str\)"),
    "no such callable": (["measure", "net.py:sse"], r"'net\.py' has no function 'sse', did you mean 'see'\?"),
    "show nothing": (["show", "fnc"], r"nothing is called 'fnc', did you mean 'fcn'\?"),
    "list nothing": (["list", "metrix"], r"'metrix' is not one of"),
    "data of nothing": (["data", "path", "contxt"], r"did you mean 'context'\?"),
}  # fmt: skip


def refused(arguments, capsys, folder):
    """The lines of the error, after checking exit status 2, their number, and that no file was written."""
    before = {p: p.lstat().st_mtime_ns for p in folder.rglob("*")}
    with pytest.raises(SystemExit) as end:
        main(arguments)
    printed = capsys.readouterr()
    assert end.value.code == 2
    assert printed.out == ""
    assert {p: p.lstat().st_mtime_ns for p in folder.rglob("*")} == before
    lines = [line for line in printed.err.splitlines() if line and not line.startswith(("Usage:", "Try "))]
    assert 1 <= len(lines) <= 2, printed.err
    assert "Traceback" not in printed.err
    return "\n".join(lines)


@pytest.mark.parametrize("case", FILES)
def test_a_malformed_file_is_refused_where_it_is_wrong(case, tmp_path, monkeypatch, capsys, plugin):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOVBENCH_DATA", raising=False)
    content, expected = FILES[case]
    (tmp_path / "f.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    error = refused(["run", "f.yaml", "--plugin", plugin], capsys, tmp_path)
    assert re.search(expected, error), error


@pytest.mark.parametrize("case", LINES)
def test_a_malformed_command_line_is_refused_with_what_would_work(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    (tmp_path / "f.yaml").write_text(text())
    (tmp_path / "net.py").write_text("def see(*, k: int = 1):\n    'A net.'\ndef placed(k):\n    'A net.'\n")
    (tmp_path / "breaks.py").write_text("1 / 0\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "folder.yaml").mkdir()
    for unsafe in ("...yaml", "..yaml", ".hidden.yaml", "a\\b.yaml", "c:x.yaml", "a\x1b[31m.yaml"):
        (tmp_path / unsafe).write_text(text())
    arguments, expected = LINES[case]
    error = refused(arguments, capsys, tmp_path)
    assert re.search(expected, error.replace("\n", " ")), error


def test_an_unreadable_file_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.yaml").symlink_to("f.yaml")
    assert "f.yaml" in refused(["run", "f.yaml"], capsys, tmp_path)
