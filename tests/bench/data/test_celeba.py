"""CelebA from a few small pictures in torchvision's layout."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bench.data.celeba import CROP, LISTS, celeba, files
from bench.data.examples import DataNotFound

SHAPE = (3, 16, 16)


@pytest.fixture
def root(tmp_path, monkeypatch):
    from torchvision.datasets import CelebA

    home = tmp_path / "celeba"
    (home / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06}.jpg" for i in range(1, 7)]  # torchvision reads no split of one
    for i, name in enumerate(names):
        picture = np.zeros((218, 178, 3), dtype=np.uint8)
        picture[35 : 35 + CROP, 15 : 15 + CROP] = 40 * i
        Image.fromarray(picture).save(home / "img_align_celeba" / name, quality=100)
    (home / LISTS[0]).write_text("".join(f"{n} {p}\n" for n, p in zip(names, "001122", strict=True)))
    smiles = "".join(f"{n} {1 if i % 2 else -1}\n" for i, n in enumerate(names))
    (home / LISTS[1]).write_text(f"6\nSmiling\n{smiles}")
    (home / LISTS[2]).write_text("".join(f"{n} 7\n" for n in names))
    for file, width in ((LISTS[3], 4), (LISTS[4], 10)):
        header = " ".join("abcdefghij"[:width])
        (home / file).write_text(f"6\n{header}\n" + "".join(f"{n}{' 1' * width}\n" for n in names))
    monkeypatch.setattr(CelebA, "_check_integrity", lambda self: True)
    return tmp_path


def test_reads_the_middle_of_the_pictures_of_a_split(root):
    examples = celeba(root, "train", SHAPE)
    assert examples.images.shape == (2, *SHAPE)
    assert examples.images[1].float().mean() == pytest.approx(40, abs=1)
    assert examples.targets["labels"].tolist() == [0, 1]
    assert celeba(root, "test", SHAPE).images.float().mean() == pytest.approx(180, abs=1)
    assert len(celeba(root, "train", SHAPE, count=1)) == 1
    assert celeba(root, "valid", SHAPE, levels=2).targets["pixels"].max() == 0
    assert celeba(root, "test", SHAPE, levels=2).targets["pixels"].min() == 1


def test_the_pictures_of_a_split_are_what_its_fingerprint_reads(root):
    assert [path.name for path in files(root, "train").images] == ["000001.jpg", "000002.jpg"]
    assert [path.name for path in files(root, "train", count=1).images] == ["000001.jpg"]


def test_refuses_what_it_does_not_have(root, tmp_path):
    with pytest.raises(ValueError, match="3 channels"):
        celeba(root, "train", (1, 16, 16))
    with pytest.raises(DataNotFound, match="non-commercial"):
        celeba(tmp_path / "none", "train", SHAPE)
    with pytest.raises(DataNotFound, match="no data folder given"):
        celeba(None, "train", SHAPE)
    (root / "celeba" / "img_align_celeba" / "000002.jpg").unlink()
    with pytest.raises(DataNotFound, match=r"000002\.jpg"):
        files(root, "train")


def test_lists_and_pictures_of_another_kind_are_named(root, monkeypatch):
    home = root / "celeba"
    Image.new("RGB", (178, 217)).save(home / "img_align_celeba" / "000002.jpg")
    with pytest.raises(ValueError, match=r"000002\.jpg: it has 178 x 217 px"):
        celeba(root, "train", SHAPE)
    text = (home / LISTS[0]).read_text()
    (home / LISTS[0]).write_bytes(text.encode("utf-16"))
    assert len(files(root, "train").images) == 2
    (home / LISTS[0]).write_text(text + "000007.jpg\n")
    with pytest.raises(ValueError, match=r"list_eval_partition\.txt:7: expected the name of an image"):
        files(root, "train")
    for name in ("../../000001.jpg", "/etc/passwd"):
        (home / LISTS[0]).write_text(f"{text}{name} 0\n")
        with pytest.raises(ValueError, match=r"list_eval_partition\.txt:7: expected the name of an image below"):
            files(root, "train")
    (home / LISTS[0]).write_text(text)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"list_\w+\.txt: missing, cut short or changed|identity_CelebA"):
        celeba(root, "train", SHAPE)
