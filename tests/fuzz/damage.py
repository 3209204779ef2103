"""Strategies: a text or bytes that were valid, and then damaged in a few places."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import strategies as st

ODD = (
    "", " ", "\0", "\x1b[31m", "\u202e", "\ud800".encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"),
    "é", "🙂", "../..", "=cmd()", "<script>", "%s{}$", "-1", "1e400", ".inf", ".nan", "null", "~", "yes", "0x10",
    "1_000", "[", "{", "&a", "*a", "!!python/object:os.system", "!!binary", "<<", "---", "...", "|", ">", "# x", "\t",
    "a" * 5000, "9" * 400,
)  # fmt: skip
"""Texts that mean something to YAML, SQL, HTML, terminals, spreadsheets or file systems."""


def odd_texts() -> st.SearchStrategy[str]:
    """One of ODD, or any text."""
    return st.one_of(st.sampled_from(ODD), st.text(max_size=30))


def odd_values() -> st.SearchStrategy[Any]:
    """What a YAML file may hold where something else is expected."""
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.integers(-3, 40), odd_texts(), st.dates()
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_texts(), inner, max_size=3),
        max_leaves=6,
    )


def damaged_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with a few bytes changed, inserted, doubled or left out, or cut short."""
    kinds = st.sampled_from(["flip", "insert", "drop", "cut", "zero", "double"])
    damages = st.tuples(kinds, st.integers(0, 2**31), st.binary(min_size=1, max_size=8))
    return st.lists(damages, min_size=1, max_size=6).map(lambda chosen: functools.reduce(_damaged, chosen, content))


def _damaged(content: bytes, damage: tuple[str, int, bytes]) -> bytes:
    kind, number, added = damage
    place = number % (len(content) + 1)
    before, after = content[:place], content[place:]
    changed = {
        "flip": bytes([after[0] ^ added[0]]) + after[1:] if after else b"",
        "insert": added + after,
        "drop": after[8 * len(added) :],
        "cut": b"",
        "zero": bytes(min(16, len(after))) + after[16:],
        "double": after[: 20 * len(added)] + after,
    }
    return before + changed[kind]


@st.composite
def damaged_lines(draw: st.DrawFn, text: str) -> str:
    """The text with a few odd words put in, and lines left out or doubled."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1)) if lines else 0
        kind = draw(st.sampled_from(["word", "drop", "double", "line", "indent"]))
        if kind == "word" and lines:
            cut = draw(st.integers(0, len(lines[place])))
            lines[place] = lines[place][:cut] + draw(odd_texts()) + lines[place][cut:]
        elif kind == "drop" and lines:
            del lines[place]
        elif kind == "double" and lines:
            lines.insert(place, lines[place])
        elif kind == "indent" and lines:
            lines[place] = "  " + lines[place]
        else:
            lines.insert(place, draw(odd_texts()))
    return "\n".join(lines) + "\n"


@st.composite
def damaged_tree(draw: st.DrawFn, tree: Any) -> Any:
    """Nested mappings and lists with one value replaced, left out, or added under an odd name."""
    if isinstance(tree, dict) and tree and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(tree)))
        kind = draw(st.sampled_from(["deeper", "deeper", "drop", "rename", "add"]))
        if kind == "deeper":
            return {**tree, name: draw(damaged_tree(tree[name]))}
        rest = {key: value for key, value in tree.items() if key != name or kind == "add"}
        return rest if kind == "drop" else {**rest, draw(odd_texts()): tree[name]}
    if isinstance(tree, list) and tree and draw(st.booleans()):
        place = draw(st.integers(0, len(tree) - 1))
        return [*tree[:place], draw(damaged_tree(tree[place])), *tree[place + 1 :]]
    return draw(odd_values())
