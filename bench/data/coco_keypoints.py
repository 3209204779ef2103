"""COCO keypoints: people in everyday scenes, 17 joints, in COCO's own annotation format."""

from __future__ import annotations

from pathlib import Path

from bench.data.coco_format import annotations_of, images_of, person_of
from bench.data.crops import cropped
from bench.data.examples import Examples
from bench.data.locate import Files, not_found, present, refuse_missing
from bench.registry import dataset

LICENCE = "annotations CC BY 4.0; the images are Flickr's, each under its owner's terms"
GET = (
    "fetch annotations_trainval2017.zip, train2017.zip and val2017.zip of cocodataset.org and unpack them into coco/ "
    "(annotations/person_keypoints_val2017.json, val2017/, ...)"
)
NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


@dataset(
    task="pose",
    licence=LICENCE,
    source="Lin et al. 2014, ECCV, arXiv:1405.0312",
    get=GET,
    requires={"joints": 17},
)
def coco_keypoints(root: Path | None, split: str, shape: tuple[int, int, int]) -> Examples:
    """People in everyday scenes, each in its annotated box, 17 joints; people without an annotated joint are left out.

    Crowds are left out too. `left_out` counts people whose box has no area or is outside the image, and annotations of
    other categories. Resized to `shape` (C, H, W). Raises DataNotFound, and ValueError for another format or for ids
    that do not match.
    """
    listed = files(root, split)
    (path,) = listed.lists
    annotations, folder = annotations_of(path, len(NAMES), "person"), _images(listed.folder, split)
    people = [person_of(annotation, folder, shape, f"{path}, {annotation.label}") for annotation in annotations.people]
    return cropped(people, NAMES, shape, left_out=annotations.left_out, source=path)


def _images(folder: Path, split: str) -> Path:
    return _present_folder([folder / f"{split}2017", folder / "images" / f"{split}2017"])


def _present_folder(candidates: list[Path]) -> Path:
    """The first of these folders that exists, else the first of all, so that an error names it."""
    return next((path for path in candidates if path.is_dir()), candidates[0])


def folders(root: Path) -> list[Path]:
    """The folders in which it is searched: below the data folder, and that folder itself."""
    return [root / "coco", root / "COCO", root]


def files(root: Path | None, split: str) -> Files:
    """The annotation file and the images with people of a split. Raises DataNotFound, ValueError."""
    below = Path("annotations") / f"person_keypoints_{split}2017.json"
    candidates = [folder / below for folder in folders(root)] if root else []
    path = present(candidates)
    if path is None:
        raise not_found(f"coco_keypoints ({split})", candidates, LICENCE, GET)
    home = path.parents[1]
    images = images_of(annotations_of(path, len(NAMES), "person"), _images(home, split))
    refuse_missing(f"coco_keypoints ({split})", images, LICENCE, GET)
    return Files(folder=home, lists=(path,), images=images, labels=())
