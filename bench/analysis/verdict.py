"""The words for what became of a number: one vocabulary for tables, reports and gates."""

from __future__ import annotations

from typing import Literal

Verdict = Literal[
    "same",
    "better",
    "worse",
    "equivalent",
    "inconclusive",
    "within noise",
    "changed",
    "missing",
    "new",
    "renamed",
    "broken",
]
