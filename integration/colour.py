"""Colours as people see them: how well one is read on another (WCAG 2.2, 1.4.3), and shades that can be."""

import re
from typing import NamedTuple

WHITE, INK, BLACK = "#ffffff", "#1d2421", "#000000"
LEAST_CONTRAST = 4.5  # of text and what is behind it
STEPS = 20  # from a colour to black
_HEX = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})", re.ASCII)


class Shades(NamedTuple):
    """One colour of a shop in all its uses; each pair that is read together has LEAST_CONTRAST."""

    fill: str  # the colour itself, behind words
    on_fill: str  # words on it
    hover: str  # behind the same words, under a pointer
    text: str  # words and lines on white and on paper
    tint: str  # a light ground for `text`
    middle: str  # a line, no words


def read_colour(written: str) -> str | None:
    """Read #abc, abc or #aabbcc, in any case, as #aabbcc; None for anything else."""
    found = _HEX.fullmatch(written.strip().lower())
    if found is None:
        return None
    digits = found[1] if len(found[1]) == 6 else "".join(2 * each for each in found[1])
    return f"#{digits}"


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours: 1 for the same, 21 for black and white."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def mixed(one: str, other: str, share: float) -> str:
    """Mix a colour with a share (0 to 1) of another."""
    parts = zip(_parts(one), _parts(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)


def shades(colour: str, paper: str = WHITE) -> Shades:
    """Make the shades of a colour (#aabbcc): as it is where words on it can be, darker where it is what is read."""
    on_fill = next(each for each in (WHITE, INK, BLACK) if contrast(colour, each) >= LEAST_CONTRAST)
    away = BLACK if on_fill == WHITE else WHITE
    tint = mixed(colour, WHITE, 0.93)
    grounds = (WHITE, paper, tint)
    darker = (mixed(colour, BLACK, step / STEPS) for step in range(STEPS + 1))
    text = next(each for each in darker if min(contrast(each, ground) for ground in grounds) >= LEAST_CONTRAST)
    return Shades(colour, on_fill, mixed(colour, away, 0.2), text, tint, mixed(text, WHITE, 0.45))


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
