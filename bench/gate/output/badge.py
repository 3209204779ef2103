"""The verdict of a gate as an SVG badge."""

from __future__ import annotations

from bench.gate.output.outcome import Outcome

COLOURS = {0: "#2a7d2e", 1: "#b3261e", 3: "#8a5a00", 4: "#b3261e", 5: "#0b63a5"}
"""Exit code -> a colour on which white text has a contrast of at least 4.5."""

LABEL = "bench gate"
PER_CHARACTER, MARGIN = 7, 10


def badge(outcome: Outcome) -> str:
    """Label and verdict, with a title for those who do not see the picture."""
    left, right = (MARGIN * 2 + PER_CHARACTER * len(text) for text in (LABEL, outcome.verdict))
    text = 'fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img">\n'
        f"<title>{LABEL}: {outcome.verdict}</title>\n"
        f'<rect width="{left}" height="20" fill="#444"/>\n'
        f'<rect x="{left}" width="{right}" height="20" fill="{COLOURS[outcome.exit_code]}"/>\n'
        f'<text x="{left / 2}" y="14" {text}>{LABEL}</text>\n'
        f'<text x="{left + right / 2}" y="14" {text}>{outcome.verdict}</text>\n'
        "</svg>\n"
    )
