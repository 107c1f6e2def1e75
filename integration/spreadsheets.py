"""Writes texts so that no spreadsheet takes them for formulas."""

import re

# What a spreadsheet takes for a formula at the beginning of a cell, full-width forms among it.
FORMULA = "=+-@\t\r\n＝＋－＠"
_UNSEEN = " \u00a0\ufeff"  # what may stand in front of one
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def plain_text(value: object) -> str:
    """Write a text as a cell no spreadsheet runs: what begins like a formula gets an apostrophe in front."""
    if value is None:
        return ""
    text = _CONTROL.sub("", str(value))
    first = text.lstrip(_UNSEEN)[:1]
    return f"'{text}" if first and first in FORMULA else text
