"""What is typed into the programme page becomes settings, or a word on what to do; nothing else changes."""

from decimal import Decimal

import pytest

from handlers.merchants.asking import SETTINGS, setting_of
from handlers.merchants.rules import Program
from handlers.merchants.wording import Reader, changes, label, spoken, touches
from handlers.programme.rules import first_switched_on, merged, shown, understand

DEFAULTS = Program()
RICH = Program.model_validate(
    {
        "earning": {
            "enabled": True,
            "points_per_unit": "1.25",
            "exclude_products": ["11", "12"],
            "exclude_tags": ["wholesale", "staff party"],
            "exclude_channels": ["pos", "a fair stall"],
            "rates": {"EUR": "1.08", "JPY": "0.0065"},
            "campaigns": {
                "spring": {"name": "Spring", "starts": "2026-04-01", "ends": "2026-04-07", "multiplier": "2"}
            },
        },
        "thanks": {"enabled": True, "when": "every", "delay_minutes": 1440},
        "messages": {"window": "08:30-24:00", "from_address": "nora@tea.example", "from_name": "Nora’s Tea"},
        "reviews": {"enabled": True, "remind_after_days": 0},
        "tiers": {
            "by": "points",
            "ladder": {
                "silver": {"name": "Silver", "threshold": 50},
                "gold": {"name": "Gold", "threshold": 150, "multiplier": "1.25", "entry_points": 100, "perks": "Tea."},
            },
        },
    }
)
GERMAN = Reader("de", "EUR", {"11": "Oolong"})


@pytest.mark.parametrize("program", [DEFAULTS, RICH])
@pytest.mark.parametrize("mark", [".", ","])
def test_the_form_of_a_programme_reads_back_as_the_same_programme(program: Program, mark: str) -> None:
    """Saving a page on which nothing was typed changes nothing, however numbers are written there."""
    assert understand(DEFAULTS, shown(program, mark)) == (program, {})


def test_a_field_that_is_missing_leaves_its_setting_alone() -> None:
    """A form that was cut off on its way must not switch off what it did not get to say."""
    assert understand(RICH, {}) == (RICH, {})
    one = understand(RICH, {"earning.hold_days": "14"}).program
    assert [change.key for change in changes(RICH, one)] == ["earning.hold_days"]


def test_a_forged_field_changes_nothing() -> None:
    """Neither what is no setting nor what the page does not show can be set by typing its name."""
    forged = {"earning.secret": "1", "messages.words": '{"thank_you": {}}', "merchant_id": "7", "": "x", "earning": "x"}
    assert understand(RICH, forged) == (RICH, {})


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("earning.points_per_unit", "1,500.25", "without separators"),
        ("earning.points_per_unit", "", "Write a number"),
        ("earning.points_per_unit", "three", "without separators"),
        ("earning.points_per_unit", "0.1234567", "six decimal places"),
        ("earning.points_per_unit", "1000001", "from 0 to 1000000"),
        ("earning.points_per_unit", "-1", "0 or more"),
        ("earning.hold_days", "91", "from 0 to 90"),
        ("earning.exclude_products", "٤٢", "has no product number"),
        ("earning.hold_days", "1.5", "whole number"),
        ("earning.exclude_products", "the red teapot", "no product number"),
        ("earning.exclude_tags", "x" * 256, "255 characters"),
        ("earning.rates", "EUR", "such as EUR 1.08"),
        ("thanks.when", "never", "Choose one"),
        ("thanks.delay_minutes", "1000000", "30 days at most"),
        ("expiry.notice_days", "a month", "such as 45, 7"),
        ("expiry.notice_days", "45, 400", "from 1 to 180"),
        ("expiry.months", "0", "from 1 to 120"),
        ("messages.from_address", "nora@", "one e-mail address"),
        ("messages.from_name", "Nora\r\nBcc: all", "in one line"),
        ("messages.opt_in_countries", "Germany", "two letters"),
        ("messages.cap_hours", "9" * 30_000, "too long"),
    ],
)
def test_what_cannot_be_read_is_told_beside_its_field(field: str, typed: str, told: str) -> None:
    """And the setting stays as it was, so that nothing half understood is ever saved."""
    result = understand(RICH, {field: typed, "reviews.days_digital": "5"})
    assert list(result.errors) == [field]
    assert told in result.errors[field]
    assert [change.key for change in changes(RICH, result.program)] == ["reviews.days_digital"]


@pytest.mark.parametrize(
    ("start", "end", "means"),
    [
        ("9:00", "17:30", "09:00-17:30"),
        ("00:00", "00:00", "00:00-24:00"),
        ("17:00", "09:00", None),
        ("ten", "11:00", None),
    ],
)
def test_hours_are_two_times_of_one_day(start: str, end: str, means: str | None) -> None:
    """Midnight at the end is the end of the day; anything else is asked again."""
    fields = {"messages.window": "hours", "messages.window.from": start, "messages.window.to": end}
    result = understand(DEFAULTS, fields)
    assert (result.program.messages.window, bool(result.errors)) == (means or "10:00-16:00", means is None)


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("https://admin.shopify.com/store/nora/products/8123?x=1\n 12 ", ("8123", "12")),
        ("gid://shopify/Product/99, the teapot\n99", ("99",)),
        ("11 Oolong (spring)", ("11",)),
    ],
)
def test_a_product_is_named_by_its_number_or_its_address(typed: str, means: tuple[str, ...]) -> None:
    """What a shopkeeper copies from the admin is good enough."""
    assert understand(DEFAULTS, {"earning.exclude_products": typed}).program.earning.exclude_products == means


def test_decimals_may_be_written_with_a_comma() -> None:
    """Half of the world does."""
    assert understand(DEFAULTS, {"earning.points_per_unit": "1,5"}).program.earning.points_per_unit == Decimal("1.5")


def test_every_setting_has_words_in_every_state() -> None:
    """A difference is shown in words, not in JSON; no word has a hole in it."""
    for key in set(SETTINGS) - {"earning.campaigns", "rewards.catalogue", "tiers.ladder"}:
        for program in (DEFAULTS, RICH):
            words = f"{label(key, GERMAN)}: {spoken(key, setting_of(program, key), GERMAN)}"
            assert "{" not in words and not words.endswith(": "), words
    assert spoken("earning.points_per_unit", Decimal("1.25"), GERMAN) == "1,25 points"
    assert spoken("earning.exclude_products", ("11", "12"), GERMAN) == "Oolong, product 12"
    assert spoken("earning.exclude_tags", tuple(map(str, range(20))), GERMAN).endswith("and 12 more")
    assert spoken("thanks.delay_minutes", 1440, GERMAN) == "1 day"


def test_every_setting_of_the_programme_is_on_the_page() -> None:
    """All but the words of messages, which have a page of their own, and the zone of tiers, which is the shop's."""
    declared = {
        f"{section}.{name}"
        for section in Program.model_fields
        for name in type(getattr(DEFAULTS, section)).model_fields
    }
    assert declared - set(SETTINGS) == {"messages.words", "tiers.timezone"}


def test_what_a_change_touches_is_said() -> None:
    """A rate holds for sales to come; hours hold for all that waits; switching notes off stops those that wait."""
    dearer = understand(RICH, {"earning.points_per_unit": "2"}).program
    later = understand(RICH, {"messages.cap_hours": "48"}).program
    silent = understand(RICH, {"thanks.enabled": "off"}).program
    assert touches(changes(RICH, dearer)) == {"sales"}
    assert touches(changes(RICH, later)) == {"waiting"}
    assert touches(changes(RICH, silent)) == {"sales", "stopped"}
    assert changes(RICH, RICH) == []


def test_only_what_never_was_on_counts_as_switched_on_first() -> None:
    """Who had it on before has seen what it does."""
    assert first_switched_on((DEFAULTS,), RICH) == ("earning", "thanks", "reviews")
    assert first_switched_on((RICH, DEFAULTS), RICH) == ()
    assert first_switched_on((DEFAULTS,), DEFAULTS) == ()


def test_changes_of_two_people_to_different_settings_both_stay() -> None:
    """Mine are put over theirs; where both changed one setting, mine stands and is named."""
    mine = understand(RICH, {"earning.hold_days": "14", "messages.cap_hours": "24"}).program
    theirs = understand(RICH, {"messages.cap_hours": "48", "reviews.days_digital": "5"}).program
    program, both = merged(RICH, mine, theirs)
    assert both == ("messages.cap_hours",)
    assert (program.earning.hold_days, program.messages.cap_hours, program.reviews.days_digital) == (14, 24, 5)
    assert merged(RICH, theirs, theirs) == (theirs, ())
