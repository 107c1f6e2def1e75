"""A programme changes by dotted keys, all or nothing, into versions that never change again."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.merchants.books import shops
from handlers.merchants.connections import Wish, add_merchant
from handlers.merchants.programs import (
    Overtaken,
    assignments,
    change_program,
    changed,
    from_file,
    read_program,
    readable,
    replace_program,
    versions_before,
)
from handlers.merchants.rules import Program, Refused
from integration.clock import SECOND
from integration.database.steps import ask, plain
from integration.vault import Vault

NOW = 1_790_000_000 * SECOND + 250_000
VAULT = Vault(["hats-are-sold-here-by-ada-and-bob-since-1999"])
HATS = Wish(name="Hats", shop="hats", currency="EUR", timezone="Europe/Paris")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("earning.enabled", "true", True),
        ("earning.enabled", "off", False),
        ("earning.points_per_unit", "0.1", Decimal("0.1")),
        ("earning.points_per_unit", "2", Decimal(2)),
        ("earning.points_per_unit", "", Decimal(3)),
        ("earning.hold_days", "0", 0),
        ("earning.hold_days", "null", 30),
        ("earning.exclude_tags", "sale, vip", ("sale", "vip")),
        ("earning.exclude_tags", '["a, b"]', ("a, b",)),
        ("earning.exclude_tags", "", ()),
        ("earning.rates", '{"USD": 0.92}', {"USD": Decimal("0.92")}),
        ("thanks.when", "every", "every"),
        ("messages.window", "always", "always"),
        ("messages.from_name", "007", "007"),
        ("messages.from_address", "ada@hats.example.com", "ada@hats.example.com"),
        ("messages.from_address", "null", None),
    ],
)
def test_a_text_is_read_as_what_its_setting_takes(key: str, text: str, value: object) -> None:
    """Numbers keep every digit, words stay words, and an empty text is the default."""
    section, name = key.split(".")
    assert getattr(getattr(changed(Program(), {key: text}), section), name) == value


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("earning.enabled", "maybe", "true or false"),
        ("earning.hold_days", "91", "a whole number from 0 to 90"),
        ("earning.hold_days", "1.5", "a whole number"),
        ("earning.points_per_unit", "-1", "a number from 0 to 1000000"),
        ("earning.points_per_unit", "0.0000001", "at most six decimal places"),
        ("earning.points_per_unit", "NaN", "a number"),
        ("earning.points_per_unit", "1e99999999", "a number"),
        ("thanks.when", "never", "one of every, milestones"),
        ("messages.window", "16:00-10:00", "10:00-16:00, or always"),
        ("messages.from_address", "ada", "email address"),
        ("messages.from_name", "Ada\nBcc: bob@x.example", "one line"),
        ("messages.words.thank_you.en.subject", "Hello\r\nBcc: bob@x.example", "one line"),
        ("earning.enbled", "true", "earning.enabled is"),
        ("qqq", "red", "the settings are earning.enabled"),
        ("earning.enabled.now", "true", "is not a setting"),
        ("earning.rates.usd", "1", "earning.rates.usd"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_takes(key: str, text: str, said: str) -> None:
    """The sentence holds the key and what would be right."""
    with pytest.raises(Refused) as refusal:
        changed(Program(), {key: text})
    assert key in str(refusal.value)
    assert said in str(refusal.value)


def test_every_wrong_setting_is_named_at_once() -> None:
    """Nobody has to try five times to learn of five mistakes."""
    with pytest.raises(Refused) as refusal:
        changed(Program(), {"earning.hold_days": "-1", "reviews.days_digital": "soon", "thanks.when": "every"})
    assert "earning.hold_days" in str(refusal.value)
    assert "reviews.days_digital" in str(refusal.value)
    assert "thanks.when" not in str(refusal.value)


def test_keys_reach_into_tables() -> None:
    """One rate or one message's words can be set and taken away alone."""
    program = changed(
        Program(), {"earning.rates.USD": "0.92", "messages.words.thank_you.en.subject": "Hello {first_name}"}
    )
    assert program.earning.rates == {"USD": Decimal("0.92")}
    assert program.messages.words["thank_you"]["en"].subject == "Hello {first_name}"
    assert changed(program, {"earning.rates.USD": "null"}).earning.rates == {}


def test_what_is_printed_can_be_read_back() -> None:
    """`merchant program` prints what `--file` takes, exact to the last digit."""
    program = changed(Program(), {"earning.points_per_unit": "999999.999999", "earning.exclude_tags": "vip"})
    printed = json.dumps(readable(program))
    assert json.loads(printed)["earning"]["points_per_unit"] == 999999.999999
    assert changed(Program(), from_file(printed)) == program


def test_a_file_with_some_settings_leaves_the_others() -> None:
    """A part of a programme changes that part."""
    before = changed(Program(), {"thanks.enabled": "true"})
    after = changed(before, from_file('{"earning": {"enabled": true, "points_per_unit": 0.1}}'))
    assert after.thanks.enabled
    assert after.earning.points_per_unit == Decimal("0.1")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, '{"earning": 3}', '{"earnings": {"x": 1}}'])
def test_a_file_that_is_no_programme_is_refused(text: str) -> None:
    """Whatever is in the file, the answer is a sentence."""
    with pytest.raises(Refused):
        changed(Program(), from_file(text))


@pytest.mark.parametrize("pair", ["earning.enabled", "=true", " =x"])
def test_an_assignment_has_a_key_and_an_equals_sign(pair: str) -> None:
    """`--set` without a value is a mistake, not an empty value."""
    with pytest.raises(Refused, match="KEY=VALUE"):
        assignments([pair])


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_known = (
    "earning.enabled earning.points_per_unit earning.rates earning.rates.EUR earning.exclude_tags messages.window"
    " messages.words.thank_you.en.body messages.from_name thanks.delay_minutes earning.rates. a.b.c"
)
_keys = st.sampled_from(_known.split()) | st.text(max_size=30)


@given(st.dictionaries(_keys, _json | st.text(max_size=30), max_size=3))
def test_whatever_is_asked_is_done_or_refused_in_words(changes: dict[str, object]) -> None:
    """No input leads to anything but a programme that can be stored and read, or a sentence."""
    try:
        program = changed(Program(), from_file(json.dumps(changes)))
    except Refused as refusal:
        assert str(refusal)
    else:
        assert Program.model_validate_json(program.model_dump_json()) == program
        assert json.loads(json.dumps(readable(program), allow_nan=False))


async def test_a_new_merchant_has_everything_off(database: Any) -> None:
    """Version 1 holds the defaults and is in force from the second of joining."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    shop = (await database.run(lambda: shops([hats.id])))[hats.id]
    assert [(v.number, v.in_force_at, v.program) for v in shop.versions] == [(1, 1_790_000_000 * SECOND, Program())]
    assert not any(section.enabled for section in (shop.current.earning, shop.current.thanks, shop.current.reviews))


async def test_a_change_is_a_new_version_from_the_next_second(database: Any) -> None:
    """What was sold before the change is still worth what it was."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    version = await database.run(lambda: change_program(hats.id, {"earning.enabled": "true"}, NOW))
    assert (version.number, version.in_force_at) == (2, 1_790_000_001 * SECOND)
    shop = (await database.run(lambda: shops([hats.id])))[hats.id]
    assert shop.version_at(NOW).number == 1
    assert shop.version_at(1_790_000_001 * SECOND).number == 2
    assert shop.current.earning.enabled


async def test_a_change_that_changes_nothing_writes_nothing(database: Any) -> None:
    """Saying the same again leaves the version as it is."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    first = await database.run(lambda: change_program(hats.id, {"earning.hold_days": "14"}, NOW))
    again = await database.run(lambda: change_program(hats.id, {"earning.hold_days": 14}, NOW + 9 * SECOND))
    assert again == first


@pytest.mark.parametrize(
    ("country", "region", "over", "why"),
    [
        (None, "ON", {"expiry.after": "age"}, "in Ontario, where points must not expire by time alone"),
        (None, "ON", {}, None),
        (None, "Quebec", {"expiry.after": "age"}, "in Quebec, where"),
        (None, "QC", {"expiry.months": "11", "expiry.remind": "on"}, "after 12 months"),
        (None, "QC", {}, "told 30 to 60 days before"),
        (None, "QC", {"expiry.remind": "on", "expiry.notice_days": "29, 7"}, "told 30 to 60 days before"),
        (None, "QC", {"expiry.remind": "on"}, None),
        (None, "BC", {"expiry.after": "age"}, None),
        ("CA", "BC", {"expiry.after": "age"}, "in Ontario and Quebec"),
    ],
)
async def test_points_expire_only_as_the_law_where_customers_live_allows(
    database: Any, country: str | None, region: str, over: dict[str, object], why: str | None
) -> None:
    """Ontario and Quebec; elsewhere, and for as long as nothing lapses, nobody is asked where they live."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    await database.run(lambda: ask(plain("UPDATE merchants SET country = ?2 WHERE id = ?1"), (hats.id, country)))
    adding = plain(
        "INSERT INTO customers (merchant_id, number, country, region, created_at) VALUES (?1, 1, 'CA', ?2, 0)"
    )
    await database.run(lambda: ask(adding, (hats.id, region)))
    await database.run(lambda: change_program(hats.id, over or {"earning.hold_days": "3"}, NOW))
    wished = {**over, "expiry.enabled": "on"}
    if why is None:
        assert (await database.run(lambda: change_program(hats.id, wished, NOW))).program.expiry.enabled
        return
    with pytest.raises(Refused, match=why):
        await database.run(lambda: change_program(hats.id, wished, NOW))


async def test_one_wrong_setting_changes_nothing(database: Any) -> None:
    """The right ones beside it are not written either."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    with pytest.raises(Refused):
        await database.run(lambda: change_program(hats.id, {"earning.enabled": "true", "earning.hold_days": "x"}, NOW))
    assert (await database.run(lambda: read_program(hats.id))).number == 1


async def test_the_newest_change_wins_even_where_the_clock_went_back(database: Any) -> None:
    """A version is never in force before the one it follows."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    await database.run(lambda: change_program(hats.id, {"earning.hold_days": "1"}, NOW + 60 * SECOND))
    await database.run(lambda: change_program(hats.id, {"earning.hold_days": "2"}, NOW))
    shop = (await database.run(lambda: shops([hats.id])))[hats.id]
    assert shop.version_at(NOW + 61 * SECOND).number == 3


async def test_a_version_is_written_over_the_one_it_was_made_from_and_says_who_wrote_it(database: Any) -> None:
    """Of two people who change one version, the second is told instead of undoing the first one's work."""
    merchant = (await database.run(lambda: add_merchant(HATS, VAULT, NOW))).id
    dearer = Program.model_validate({"earning": {"points_per_unit": "5"}})
    longer = Program.model_validate({"earning": {"hold_days": 14}})
    written = await database.run(lambda: replace_program(merchant, 1, dearer, NOW, "shopify:7"))
    assert (written.number, written.program, written.in_force_at % SECOND) == (2, dearer, 0)
    with pytest.raises(Overtaken):
        await database.run(lambda: replace_program(merchant, 1, longer, NOW, "link:ada@hats.example"))
    assert (await database.run(lambda: replace_program(merchant, 2, dearer, NOW, "shopify:7"))).number == 2
    back = await database.run(lambda: replace_program(merchant, 2, Program(), NOW + SECOND, "shopify:7", restores=1))
    assert (back.number, back.program) == (3, Program())
    listed = await database.read(lambda: versions_before(merchant, 100, 2))
    assert [(one.version.number, one.who, one.restores) for one in listed] == [
        (3, "shopify:7", 1),
        (2, "shopify:7", None),
    ]
    first = await database.read(lambda: versions_before(merchant, 2, 10))
    assert [(one.version.number, one.who) for one in first] == [(1, None)]
