"""Image and label files that are unusual, broken or hostile: read right, or refused with their name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench.data.images
from bench.data.images import load_images, load_pairs, picture

GREY = (1, 4, 6)
COLOUR = (3, 4, 6)
LABELS = {k: k for k in range(16)}
TURNED = 0x0112


def ramp(factor: int, kind: type = np.uint8) -> np.ndarray:
    """Levels 0, factor, .. 5 factor from left to right, (4, 6)."""
    return np.tile(np.arange(6) * factor, (4, 1)).astype(kind)


def saved(path: Path, image: Image.Image | np.ndarray, **how) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **how)
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG file by hand: `rows` are its bytes after decompression."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of grey levels of a few bits, each behind its filter byte 0."""
    per_byte = 8 // bits
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % per_byte)))
    groups = padded.reshape(len(values), -1, per_byte) << (bits * np.arange(per_byte)[::-1])
    return b"".join(b"\0" + row.sum(axis=-1).astype(np.uint8).tobytes() for row in groups)


# -- images that are read right --------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_keep_their_high_byte(tmp_path, ending):
    path = saved(tmp_path / f"a.{ending}", ramp(5000, np.uint16))
    assert load_images([path], GREY)[0, 0, 0].tolist() == [0, 19, 39, 58, 78, 97]
    assert load_images([path], COLOUR)[0, :, 0].tolist() == [[0, 19, 39, 58, 78, 97]] * 3


def test_sixteen_bits_of_colour_keep_their_high_byte_too(tmp_path):
    levels = np.stack([ramp(5000, np.uint16)] * 3, axis=-1).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    (tmp_path / "a.png").write_bytes(png(6, 4, 16, 2, rows))
    assert load_images([tmp_path / "a.png"], COLOUR)[0, 1, 0].tolist() == [0, 19, 39, 58, 78, 97]


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_picture_that_exif_turns_is_read_upright(tmp_path, orientation, ending):
    """Pixels are stored so that a viewer, who turns them by the tag, sees the upright picture."""
    upright = np.zeros((16, 24), np.uint8)
    upright[:8, :12], upright[8:, :12] = 250, 120
    undo = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270}  # fmt: skip
    exif = Image.Exif()
    exif[TURNED] = orientation
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(upright).transpose(undo[orientation]), exif=exif)
    assert abs(load_images([path], (1, 16, 24))[0, 0].astype(int) - upright).max() <= 8
    mask = saved(tmp_path / "mask.png", (upright > 0).astype(np.uint8))
    labels = load_pairs([path], [mask], (1, 16, 24), LABELS)[1]
    assert (labels[0] == (upright > 0)).all()


def test_palettes_and_single_bits_are_read_by_their_colours(tmp_path):
    palette = Image.fromarray(ramp(1)).convert("P")
    palette.putpalette([value for level in range(6) for value in (level, 10 * level, 20 * level)])
    palette.putdata(ramp(1).ravel().tolist())
    path = saved(tmp_path / "a.png", palette)
    assert load_images([path], COLOUR)[0, :, 0].tolist() == [[k * f for k in range(6)] for f in (1, 10, 20)]
    bits = saved(tmp_path / "b.png", Image.fromarray(ramp(1) % 2 * np.uint8(255)).convert("1"))
    assert load_images([bits], GREY)[0, 0, 0].tolist() == [0, 255] * 3


def test_an_alpha_channel_that_hides_nothing_is_dropped(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(ramp(40)).convert("RGBA"))
    assert load_images([path], COLOUR)[0, 2, 0].tolist() == [0, 40, 80, 120, 160, 200]


# -- images that are refused -----------------------------------------------------------------------


def transparent() -> Image.Image:
    image = Image.fromarray(ramp(40)).convert("RGBA")
    image.putalpha(128)
    return image


@pytest.mark.parametrize(
    ("image", "ending", "problem"),
    [
        (Image.fromarray(ramp(1, np.float32)), "tif", "mode F have no stated range"),
        (Image.fromarray(ramp(70000, np.int32)), "tif", "mode I have no stated range"),
        (transparent(), "png", "transparent pixels"),
        (transparent(), "webp", "transparent pixels"),
        (Image.fromarray(ramp(40)).convert("LA").point(lambda level: level // 2), "png", "transparent pixels"),
    ],
)
def test_pixels_whose_meaning_is_not_stated_are_refused(tmp_path, image, ending, problem):
    path = saved(tmp_path / f"a.{ending}", image)
    with pytest.raises(ValueError, match=rf"a\.{ending}: .*{problem}"):
        load_images([path], COLOUR)


def test_several_images_in_a_file_are_refused(tmp_path):
    frames = [Image.fromarray(ramp(k)) for k in (1, 2, 3)]
    for ending in ("gif", "tif"):
        path = saved(tmp_path / f"a.{ending}", frames[0], save_all=True, append_images=frames[1:])
        with pytest.raises(ValueError, match=rf"a\.{ending}: .* holds 3 images"):
            load_images([path], GREY)


def noisy_jpeg(path: Path) -> bytes:
    return saved(path, np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), quality=95).read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jpg", b"", "it is empty"),
        ("a.png", b"<html>404 not found</html>", "none of PNG, JPEG"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "cannot be read"),
        ("a.png", png(6, 4, 8, 0, b"\0" * 10), "cannot be read"),
        ("a.png", png(6, 4, 8, 0, b"\0" * 28).replace(b"IDAT", b"IDAX"), "cannot be read"),
        ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n%%EndComments\nshowpage\n", "none of PNG, JPEG"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "none of PNG, JPEG"),
    ],
)
def test_broken_and_foreign_files_are_named(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: .*{problem}"):
        load_images([tmp_path / name], GREY)


@pytest.mark.parametrize("cut", [1, 300, 3000])
def test_a_file_that_is_cut_short_is_named(tmp_path, cut):
    path = tmp_path / "a.jpg"
    content = noisy_jpeg(path)
    path.write_bytes(content[: max(len(content) - 300 * cut, 20)])
    with pytest.raises(ValueError, match=r"a\.jpg: cannot be read as an image"):
        load_images([path], COLOUR)


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "a.png").mkdir()
    for name in ("a.png", "b.png"):
        with pytest.raises(ValueError, match=rf"{name}: cannot be read as an image"):
            load_images([tmp_path / name], GREY)


def test_a_program_that_draws_postscript_is_never_called(tmp_path, monkeypatch):
    def refuse(*command, **how):
        raise AssertionError("an image file started a program")

    monkeypatch.setattr("subprocess.Popen", refuse)
    monkeypatch.setattr("subprocess.check_call", refuse)
    path = saved(tmp_path / "a.eps", np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a\.eps: .*none of PNG, JPEG"):
        load_images([path], COLOUR)


@pytest.mark.parametrize("bits", [1, 8])
def test_more_pixels_than_any_photograph_has_are_refused_before_they_are_decoded(tmp_path, bits):
    side = 9000  # 10 kB of zeros compressed; 81 million pixels
    (tmp_path / "bomb.png").write_bytes(png(side, side, bits, 0, b"\0" * (1 + side * bits // 8) * 100))
    with pytest.raises(ValueError, match=r"bomb\.png: .*9000 x 9000 pixels; at most 64,000,000"):
        picture(tmp_path / "bomb.png")


def test_text_in_a_file_that_inflates_beyond_measure_is_refused(tmp_path):
    text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"\0" * (80 << 20)))
    (tmp_path / "bomb.png").write_bytes(png(6, 4, 8, 0, b"\0" * 28, extra=text))
    with pytest.raises(ValueError, match=r"bomb\.png: cannot be read as an image"):
        picture(tmp_path / "bomb.png")


def test_the_limit_of_pixels_is_the_one_that_is_declared(tmp_path, monkeypatch):
    monkeypatch.setattr(bench.data.images, "MOST_PIXELS", 23)
    with pytest.raises(ValueError, match="6 x 4 pixels; at most 23"):
        picture(saved(tmp_path / "a.png", ramp(1)))


# -- labels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(20, 4), (6, 5), (4, 6), (3, 2)])
def test_an_image_and_labels_of_another_size_are_refused_with_both_files(tmp_path, size):
    image = saved(tmp_path / "a.png", ramp(1))
    labels = saved(tmp_path / "b.png", np.zeros(size[::-1], np.uint8))
    with pytest.raises(ValueError, match=rf"b\.png: it has {size[0]} x {size[1]} px, but its image .*a\.png has 6 x 4"):
        load_pairs([image], [labels], GREY, LABELS)


def test_labels_of_the_stored_pixels_of_a_turned_picture_are_refused(tmp_path):
    exif = Image.Exif()
    exif[TURNED] = 6
    image = saved(tmp_path / "a.jpg", ramp(1), exif=exif)
    with pytest.raises(ValueError, match=r"6 x 4 px, but its image .* has 4 x 6 px"):
        load_pairs([image], [saved(tmp_path / "b.png", ramp(1))], GREY, LABELS)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_labels_of_few_bits_keep_their_numbers(tmp_path, bits):
    """Pillow stretches grey levels of few bits to 255, so that a label 1 of 4 bits would become 17."""
    values = (np.arange(24).reshape(4, 6) % min(1 << bits, 16)).astype(np.uint8)
    (tmp_path / "b.png").write_bytes(png(6, 4, bits, 0, packed(values, bits)))
    image = saved(tmp_path / "a.png", ramp(1))
    assert (load_pairs([image], [tmp_path / "b.png"], GREY, LABELS)[1][0] == values).all()


def test_labels_of_a_palette_are_its_indices(tmp_path):
    palette = Image.fromarray(ramp(1)).convert("P")
    palette.putpalette([17 * value for value in range(16)] * 3)
    palette.putdata(ramp(1).ravel().tolist())
    image = saved(tmp_path / "a.png", ramp(1))
    for ending, how in (("png", {}), ("png", {"bits": 4}), ("bmp", {})):
        labels = saved(tmp_path / f"b.{ending}", palette, **how)
        assert (load_pairs([image], [labels], GREY, LABELS)[1][0] == ramp(1)).all()


@pytest.mark.parametrize(
    ("labels", "ending", "problem"),
    [
        (ramp(1, np.uint16), "png", "one 8-bit channel, not of mode I;16"),
        (ramp(1, np.float32), "tif", "one 8-bit channel, not of mode F"),
        (np.zeros((4, 6, 3), np.uint8), "png", "one 8-bit channel, not of mode RGB"),
        (ramp(1), "jpg", "labels of format JPEG are not exact"),
        (ramp(1), "tif", "labels of format TIFF are not exact"),
        (ramp(50), "png", "50 is no label"),
    ],
)
def test_labels_that_are_not_exact_numbers_are_refused(tmp_path, labels, ending, problem):
    image = saved(tmp_path / "a.png", ramp(1))
    with pytest.raises(ValueError, match=rf"b\.{ending}: .*{problem}"):
        load_pairs([image], [saved(tmp_path / f"b.{ending}", labels)], GREY, LABELS)


def outcome(path: Path) -> str:
    """The shape of what is read, or the message of the refusal."""
    try:
        return str(load_images([path], COLOUR).shape)
    except ValueError as error:
        return str(error)


def test_random_changes_of_a_file_are_read_or_refused_with_its_name(tmp_path):
    rng = np.random.default_rng(0)
    sources = [noisy_jpeg(tmp_path / "a.jpg")]
    for kind in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        stream = io.BytesIO()
        Image.fromarray(ramp(40)).convert("RGB").save(stream, kind)
        sources.append(stream.getvalue())
    for content in sources * 12:
        changed = np.frombuffer(content, np.uint8).copy()
        changed[rng.integers(0, min(len(changed), 200), 3)] = rng.integers(0, 256, 3)
        (tmp_path / "x").write_bytes(changed.tobytes())
        assert outcome(tmp_path / "x").startswith((str((1, *COLOUR)), f"{tmp_path / 'x'}: "))


def renumbered(values: np.ndarray, colours: list[tuple[int, int, int]]) -> Image.Image:
    """Labels as indices of a palette of these colours."""
    labels = Image.new("P", values.shape[::-1])
    labels.putpalette([level for colour in colours for level in colour])
    labels.putdata(values.ravel().tolist())
    return labels


def test_a_palette_of_grey_levels_that_are_not_its_indices_is_refused(tmp_path):
    """Programs that leave unused colours out number the others anew: label 3 becomes index 1."""
    image = saved(tmp_path / "a.png", ramp(1))
    anew = renumbered(ramp(1) // 3, [(0, 0, 0), (3, 3, 3)])
    for ending in ("png", "bmp"):
        with pytest.raises(ValueError, match=rf"b\.{ending}: its palette gives index 1 the colour of label 3"):
            load_pairs([image], [saved(tmp_path / f"b.{ending}", anew)], GREY, LABELS)
    same = renumbered(ramp(1), [(level,) * 3 for level in range(256)])
    assert (load_pairs([image], [saved(tmp_path / "c.png", same)], GREY, LABELS)[1][0] == ramp(1)).all()


def test_a_palette_with_colours_of_the_dataset_at_other_indices_is_refused(tmp_path):
    colours = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0)}
    image = saved(tmp_path / "a.png", ramp(1))
    anew = saved(tmp_path / "b.png", renumbered(ramp(1) // 3, [(0, 0, 0), (0, 128, 0)]))
    with pytest.raises(ValueError, match=r"b\.png: its palette gives index 1 the colour of label 2"):
        load_pairs([image], [anew], GREY, LABELS, colours)
    other = saved(tmp_path / "c.png", renumbered(ramp(1) // 3, [(0, 0, 0), (9, 128, 0)]))
    assert load_pairs([image], [other], GREY, LABELS, colours)[1].max() == 1


def test_labels_in_gif_are_refused_since_its_writers_number_colours_anew(tmp_path):
    image = saved(tmp_path / "a.png", ramp(1))
    with pytest.raises(ValueError, match=r"b\.gif: labels of format GIF are not exact: use PNG, BMP"):
        load_pairs([image], [saved(tmp_path / "b.gif", ramp(3))], GREY, LABELS)
