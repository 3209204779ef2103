"""`bench data check`: how many examples there are, what is left out, and the file that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from bench.cli import main


def printed(capsys, *arguments: str) -> tuple[str, str, int]:
    code = 0
    try:
        main(["data", "check", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return out, err, code


def people(root: Path, *boxes: list[float]) -> Path:
    for split in ("train", "val"):
        (root / "coco" / f"{split}2017").mkdir(parents=True)
        (root / "coco" / "annotations").mkdir(exist_ok=True)
        Image.new("RGB", (60, 40)).save(root / "coco" / f"{split}2017" / "1.jpg")
        entries = [{"id": i, "image_id": 1, "bbox": box, "keypoints": [15, 12, 2] * 17} for i, box in enumerate(boxes)]
        contents = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": entries}
        (root / "coco" / "annotations" / f"person_keypoints_{split}2017.json").write_text(json.dumps(contents))
    return root / "coco"


def test_people_that_are_left_out_are_counted(tmp_path, capsys):
    people(tmp_path, [10, 10, 20, 20], [15, 12, 0, 0], [900, 10, 20, 20], [15, 12, -4, 8])
    flat = "  left out: 2 people whose box is less than 1 px wide or high\n"
    split = f"1 examples\n{flat}  left out: 1 people whose box is outside the image\n"
    assert printed(capsys, "coco_keypoints", "--data", str(tmp_path)) == (f"train: {split}val: {split}", "", 0)


def test_a_broken_file_is_the_error(tmp_path, capsys):
    home = people(tmp_path, [10, 10, 20, 20])
    (home / "val2017" / "1.jpg").write_bytes(b"<html>")
    out, err, code = printed(capsys, "coco_keypoints", "--data", str(tmp_path), "--split", "val")
    assert (out, code) == ("", 2)
    assert err.startswith(f"error: {home}/val2017/1.jpg: cannot be read as an image, it is none of PNG")


def test_control_characters_in_the_name_of_a_file_are_escaped(tmp_path, capsys):
    people(tmp_path, [10, 10, 20, 20])
    path = tmp_path / "coco" / "annotations" / "person_keypoints_train2017.json"
    path.write_text(path.read_text().replace("1.jpg", r"\u001b[31m\ud800.jpg"))
    _, err, code = printed(capsys, "coco_keypoints", "--data", str(tmp_path))
    assert code == 2
    assert r"train2017/\x1b[31m\ud800.jpg" in err


def test_unknown_splits_and_shapes_are_refused(capsys):
    assert printed(capsys, "context", "--split", "dev")[1] == "error: 'context' has the splits train, val, not 'dev'\n"
    assert "is channels, height, width" in printed(capsys, "context", "--shape", "3,64")[1]


def test_an_option_that_is_empty_by_default_is_not_needed(capsys):
    main(["show", "folder"])
    shown = capsys.readouterr().out
    assert "mask_suffix      str  (default empty)\n" in shown
    assert "path             str  (default folder)\n" in shown
    assert "needed" not in shown
