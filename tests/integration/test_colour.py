"""Whatever colour a shop has, what is written in it and on it can be read."""

import itertools

import pytest

from integration.colour import LEAST_CONTRAST, WHITE, contrast, mixed, read_colour, shades

PAPER = "#f4f2ec"
LEVELS = ("00", "33", "66", "99", "cc", "ff")
EVERYWHERE = ["#" + "".join(three) for three in itertools.product(LEVELS, repeat=3)]


def test_contrast_is_what_the_standard_says() -> None:
    """Black on white, the same twice, and the grey that just passes."""
    assert contrast("#000000", WHITE) == pytest.approx(21)
    assert contrast("#123456", "#123456") == 1
    assert contrast("#767676", WHITE) == pytest.approx(4.54, abs=0.01)


def test_every_pair_that_is_read_together_can_be() -> None:
    """For colours all over the cube, yellow and white among them."""
    for colour in EVERYWHERE:
        found = shades(colour, PAPER)
        assert found.fill == colour
        pairs = [(found.on_fill, found.fill), (found.on_fill, found.hover)]
        pairs += [(found.text, ground) for ground in (WHITE, PAPER, found.tint)]
        assert min(contrast(*pair) for pair in pairs) >= LEAST_CONTRAST, (colour, found)


def test_a_colour_that_can_be_read_is_left_as_it_is() -> None:
    """Only what is too light is made darker."""
    assert shades("#1f5c46", PAPER).text == "#1f5c46"
    assert shades("#ffe000", PAPER).text != "#ffe000"


@pytest.mark.parametrize(
    ("written", "means"),
    [("#Abc", "#aabbcc"), (" 1F5C46 ", "#1f5c46"), ("", None), ("red", None), ("#12345", None), ("#٣٣٣", None)],
)
def test_a_colour_is_read_as_people_write_it(written: str, means: str | None) -> None:
    """With or without its mark, short or long."""
    assert read_colour(written) == means


def test_mixing_goes_from_one_to_the_other() -> None:
    """Nothing of it, half, all of it."""
    assert [mixed("#000000", "#ffffff", share) for share in (0, 0.5, 1)] == ["#000000", "#808080", "#ffffff"]
