"""People are told once of what an occasion brought them, where that is on; of days only who agreed to such mail."""

import re

import pytest

from handlers.earning.letters import LETTERS
from handlers.earning.rules import ANNIVERSARY, BIRTHDAY, GIFT
from handlers.merchants.rules import PLACEHOLDERS
from integration.clock import DAY, HOUR, from_iso
from integration.facts import ConsentSeen, CustomersMerged
from tests.handlers.earning.fair import ELSA, MAX, Fair
from tests.handlers.messages.stage import MONDAY_NOON

TOLD = {"tell_days": True, "tell_gifts": True}
PARTY = from_iso("2027-01-31T23:00:00Z")  # midnight of 1 February in Paris


@pytest.fixture
async def told(nora: Fair) -> Fair:
    """Nora's shop, where people are told of what they got."""
    await nora.set({"ways": TOLD}, at=0)
    return nora


async def agrees(nora: Fair, state: str = "subscribed") -> None:
    """Elsa says at the shop what mail she wants."""
    await nora.hears(ConsentSeen("shopify", "email", state, nora.clock.now(), ELSA.platform_id, ELSA.email))


async def goes_by(nora: Fair, by: int) -> list[str]:
    """Let time pass, with the clock and the mail; returns the subjects of what came."""
    before = len(nora.mails)
    await nora.strikes(by)
    await nora.sends()
    return [str(mail["subject"]) for mail in nora.mails[before:]]


async def has_birthday(nora: Fair) -> None:
    """Elsa bought something in November, had its letter, and told that she was born on 1 February."""
    await nora.hears(nora.order("1001", country="FR"))
    await nora.born("02-01")
    await goes_by(nora, 14 * DAY)
    await goes_by(nora, PARTY - nora.clock.now() - HOUR)


async def test_a_birthday_is_told_once_in_the_send_window_with_what_it_brought(told: Fair) -> None:
    """At ten in the morning where she is, in her language; never again that year."""
    await agrees(told)
    await has_birthday(told)
    await told.set({"messages": {"window": "10:00-16:00"}})
    assert await goes_by(told, 2 * HOUR) == []
    assert await told.states(BIRTHDAY) == {"birthday_gift:customer:1:birthday:2027-02-01": "waiting"}
    assert await goes_by(told, 10 * HOUR) == ["Joyeux anniversaire de la part de Nora's Tea"]
    letter = told.mails[-1]
    text = letter.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "20 points" in text and "110 en tout" in text and letter["List-Unsubscribe"]
    assert await goes_by(told, DAY) == [] and await goes_by(told, 30 * DAY) == []


@pytest.mark.parametrize("state", [None, "unsubscribed", "pending"])
async def test_days_are_told_only_to_who_agreed_to_marketing_mail(told: Fair, state: str | None) -> None:
    """In every country; the points come all the same."""
    if state is not None:
        await agrees(told, state)
    await has_birthday(told)
    assert await goes_by(told, 12 * HOUR) == []
    ((sent, reason),) = (await told.messages(BIRTHDAY)).values()
    assert sent == "cancelled" and reason is not None and ("agreed" in reason or "do not want" in reason)
    assert (await told.given())["birthday:2027-02-01"] == (0, 20)


async def test_consent_is_looked_at_when_the_letter_goes_out(told: Fair) -> None:
    """Who took it back while the letter waited for the morning gets none."""
    await agrees(told)
    await has_birthday(told)
    await told.set({"messages": {"window": "10:00-16:00"}})
    await goes_by(told, 2 * HOUR)
    await agrees(told, "not_subscribed")
    assert await goes_by(told, 10 * HOUR) == []
    assert [state for state, _ in (await told.messages(BIRTHDAY)).values()] == ["cancelled"]


async def test_nobody_is_written_to_unless_that_is_on(nora: Fair) -> None:
    """Letters are off, however many occasions bring points; and what came meanwhile is not told later."""
    await agrees(nora)
    await nora.joins()
    await has_birthday(nora)
    await goes_by(nora, 12 * HOUR)
    await nora.set({"ways": TOLD})
    await goes_by(nora, DAY)
    assert await nora.messages() == {} and nora.mails == []


async def test_an_orders_gift_is_told_when_it_can_be_spent(told: Fair) -> None:
    """Not while the order may still come back; without marketing consent, as it is about what somebody has."""
    await told.hears(told.order("1001", country="GB"))
    assert await goes_by(told, 13 * DAY) == [] and await told.messages() == {}
    assert await goes_by(told, DAY) == ["30 points from Nora's Tea"]
    text = told.mails[-1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "for your first order" in text
    await told.hears(told.order("1002", country="GB"), told.order("1003", country="GB"))
    assert await goes_by(told, 14 * DAY) == ["40 points from Nora's Tea"]
    assert "order number 3" in told.mails[-1].get_body(("plain",)).get_content()  # type: ignore[union-attr]


async def test_a_gift_that_is_taken_back_is_not_told(told: Fair) -> None:
    """Neither before its order's hold is over, nor while its letter waits; the next first order tells nothing twice."""
    order = told.order("1001")
    await told.hears(order)
    await told.hears(told.refunded(order))
    assert await goes_by(told, 20 * DAY) == [] and await told.messages() == {}
    order = told.order("1002")
    await told.hears(order)
    await told.set({"messages": {"window": "03:00-03:30"}})
    assert await goes_by(told, 14 * DAY) == []
    await told.hears(told.refunded(order))
    await told.set({"messages": {"window": "always"}})
    assert await goes_by(told, DAY) == []
    assert (await told.messages(GIFT)) == {"gift:customer:1:order:1": ("cancelled", "its points were taken back")}


async def test_what_is_no_news_any_more_is_not_told(told: Fair) -> None:
    """Nothing ran for a week: points of the day come all the same, and no letter for a day that is past."""
    await agrees(told)
    await has_birthday(told)
    assert await goes_by(told, 7 * DAY) == []
    assert (await told.given())["birthday:2027-02-01"] == (0, 20)
    assert await told.messages(BIRTHDAY) == {}


async def test_a_day_that_passes_while_its_letter_waits_is_let_go(told: Fair) -> None:
    """The cap puts it off by more than three days."""
    await agrees(told)
    await has_birthday(told)
    await told.set({"messages": {"window": "23:00-23:30"}})
    await goes_by(told, 2 * HOUR)
    assert await goes_by(told, 5 * DAY) == []
    await told.set({"messages": {"window": "always"}})
    await goes_by(told, DAY)
    assert [reason for _, reason in (await told.messages(BIRTHDAY)).values()] == ["the day is past"]


async def test_two_people_who_turn_out_to_be_one_are_told_once(told: Fair) -> None:
    """Both opened an account; only the one that keeps its points is told, and only once."""
    await told.set({"messages": {"window": "03:00-03:30"}})
    await told.joins()
    await told.joins(MAX)
    await goes_by(told, 0)
    assert len(await told.messages(GIFT)) == 2
    await told.hears(CustomersMerged("70", "71"))
    await told.set({"messages": {"window": "always"}})
    assert await goes_by(told, DAY) == ["10 points de Nora's Tea"]
    assert sorted((await told.states(GIFT)).values()) == ["cancelled", "sent"]


async def test_who_is_forgotten_is_not_written_to(told: Fair) -> None:
    """What waits is not sent, and no day of theirs is told again."""
    await agrees(told)
    await has_birthday(told)
    await told.set({"messages": {"window": "10:00-16:00"}})
    await goes_by(told, 2 * HOUR)
    await told.forgets(1)
    before = len(told.mails)
    assert await goes_by(told, 12 * HOUR) == [] and await goes_by(told, 366 * DAY) == []
    assert len(told.mails) == before
    assert set((await told.states(BIRTHDAY)).values()) <= {"cancelled"}


async def test_another_year_is_told_on_its_day(told: Fair) -> None:
    """To who agreed, with its own words."""
    await agrees(told)
    await told.hears(told.order("1001", country="DE"))
    await goes_by(told, 14 * DAY)
    assert await goes_by(told, MONDAY_NOON + 365 * DAY - told.clock.now()) == ["Wieder ein Jahr mit Nora's Tea: danke"]
    assert list((await told.states(ANNIVERSARY)).values()) == ["sent"]


async def test_each_letter_fills_exactly_the_placeholders_it_names(told: Fair) -> None:
    """In the merchant's own words, too."""
    every = "\n\n".join(f"{name}=[{{{name}}}]" for name in sorted(PLACEHOLDERS))
    words = {kind.name: {"en": {"subject": "S", "body": every}} for kind in LETTERS}
    await told.set({"messages": {"words": words}}, at=0)
    await agrees(told)
    await told.hears(told.order("1001", country="GB"))
    await told.born("02-01")
    await goes_by(told, 14 * DAY)
    await goes_by(told, PARTY + 13 * HOUR - told.clock.now())
    await goes_by(told, MONDAY_NOON + 365 * DAY - told.clock.now())
    texts = [mail.get_body(("plain",)).get_content() for mail in told.mails]  # type: ignore[union-attr]
    filled = [frozenset(re.findall(r"^(\w+)=\[.+\]", text, re.M)) for text in texts]
    birthday, anniversary, gift = (kind.placeholders for kind in LETTERS)
    assert filled == [gift, birthday, anniversary]
    assert str(told.mails[0]["To"]) == ELSA.email
