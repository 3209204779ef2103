"""Text files that list the files of a split: their encoding, their lines, and errors that name the line."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.data.locate import content_of, is_file

MOST_BYTES = 1 << 26
"""Bytes of the longest list that is read."""
LONGEST = 200
"""Characters of a line that an error quotes."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, and the encodings that they announce."""


@dataclass(frozen=True)
class Line:
    """A line of a list that is not blank, without the space around it. The first line has the number 1."""

    path: Path
    number: int
    text: str

    def refuse(self, problem: str) -> ValueError:
        """The error of this line."""
        text = self.text if len(self.text) <= LONGEST else f"{self.text[:LONGEST]}..."
        return ValueError(f"{self.path}:{self.number}: {problem}: '{text}'")


def read_lines(path: Path) -> tuple[Line, ...]:
    """The lines of a list in UTF-8, or in the encoding that its byte order mark announces; blank ones are left out.

    A line ends as editors end it: with LF, CR LF or CR. Raises ValueError, with file and line, where the bytes are not
    text in that encoding, and with the file where it has more than MOST_BYTES.
    """
    text = decoded(path).replace("\r\n", "\n").replace("\r", "\n")
    numbered = enumerate(text.split("\n"), start=1)
    return tuple(Line(path, number, text.strip()) for number, text in numbered if text.strip())


def decoded(path: Path) -> str:
    """The text of a file: see `read_lines`."""
    content = content_of(path, MOST_BYTES)
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{number}: not text in {encoding.upper()}: save the list as UTF-8") from None
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}:{number}: holds NUL characters, as UTF-16 without a mark does: save it as UTF-8")
    return text


def resolve(folder: Path, written: str) -> Path:
    """A path of a list file by its last two parts under `folder`, whatever prefix another machine gave it."""
    return folder.joinpath(*PurePosixPath(written.replace("\\", "/")).parts[-2:])


def inside(folder: Path, name: object) -> Path | None:
    """The file of this name below `folder`; None where `name` is not the relative path of a file below it."""
    if not isinstance(name, str) or "\0" in name or not name:
        return None
    parts = PurePosixPath(name.replace("\\", "/")).parts
    below = bool(parts) and ".." not in parts and not PurePosixPath(name.replace("\\", "/")).is_absolute()
    return folder / name if below else None


def pair(line: Line, folder: Path) -> tuple[Path, Path]:
    """The image and the annotation that a line names, with space between them; either name may hold spaces.

    Where a line can be cut at several places, it is cut where both files exist. Raises ValueError, with file and
    line, where it cannot be cut, or at none or several of them both exist.
    """
    cuts = [i for i, character in enumerate(line.text) if character.isspace() and not line.text[i - 1].isspace()]
    pairs = [(resolve(folder, line.text[:cut]), resolve(folder, line.text[cut:].strip())) for cut in cuts]
    if len(pairs) > 1:
        pairs = [files for files in pairs if all(map(is_file, files))]
    if len(pairs) != 1 or any(".." in path.parts[-2:] for path in pairs[0]):
        raise line.refuse("expected an image and its annotation, two files with a space between them")
    return pairs[0]


def refuse_repeated(lines: Sequence[Line], images: Sequence[Path]) -> None:
    """Raises ValueError, with file and line, for an image that an earlier line lists: it would count twice."""
    first: dict[Path, int] = {}
    for line, image in zip(lines, images, strict=True):
        if first.setdefault(image, line.number) != line.number:
            raise line.refuse(f"line {first[image]} lists this image too")


def refuse_exchanged(lines: Sequence[Line], pairs: Sequence[tuple[Path, Path]]) -> None:
    """Raises ValueError, with file and line, for an image beside an annotation with the name of another image."""
    images = {image.stem for image, _ in pairs}
    for line, (image, annotation) in zip(lines, pairs, strict=True):
        if annotation.stem != image.stem and annotation.stem in images:
            raise line.refuse("the annotation has the name of another image of the list")
