"""What a customer's page shows: looked up for one person in one read, and said in their language."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from handlers.account.rules import Line, Reader, card, coupon, friends, line, rank
from handlers.account.terms import terms
from handlers.context import Context
from handlers.customers.correct import Birthday, birthday_of
from handlers.customers.timeline import LATEST, Bound
from handlers.inviting import Invitation
from handlers.ladder import Place
from handlers.merchants.books import shops
from handlers.merchants.connections import shop_of
from handlers.merchants.rules import Shop
from handlers.messages.lastlook import BLOCKING
from handlers.messages.letters import locale_name
from handlers.messages.people import Person, load
from handlers.points.purses import next_lapse
from handlers.points.statement import balances
from handlers.points.timeline import Moved, moved
from handlers.spending import Offer, Taken
from integration.database.steps import Steps

FIRST_LINES = 6  # of history on the page itself
MOST_LINES = 30  # on a page of its own
MOST_READ = 90  # entries looked at for one page; some are told by others
MOST_CODES = 30
MOST_WHOLE_CODES = 10  # codes with all there is to say of them; the others by name
MOST_WHOLE = 8  # rewards with all there is to say of them; the others by name


class Seen(NamedTuple):
    """Everything there is to show of one person; nobody known has no person, and no points."""

    shop: Shop
    person: Person | None
    available: int  # whole points; below zero = owed
    pending: int
    held: int
    lapses: tuple[int, int] | None  # instant, whole points
    offers: Sequence[Offer]
    taken: Sequence[Taken]
    entries: Sequence[Moved]
    birthday: Birthday = Birthday(None, 0)
    place: Place | None = None  # on the ladder; None = there is none
    invitation: Invitation | None = None  # None = nothing is given for bringing friends
    shop_at: str | None = None  # its domain, where an account can be opened that brings points

    @property
    def has_account(self) -> bool:
        """Whether an account has brought them points already, as far as their latest entries tell."""
        return any(one.reason == "sign_up" for one in self.entries)

    @property
    def may_agree(self) -> bool:
        """Whether letters are for them alone who agree to marketing mail, and they have not."""
        ways = self.shop.current.ways
        greets = ways.tell_days and (ways.birthday or ways.anniversary)
        return greets and self.person is not None and not (self.wants_mail and "subscribed" in self.person.consents)

    @property
    def wants_mail(self) -> bool:
        """Whether letters that are no notices may come."""
        person = self.person
        return person is not None and not ("unsubscribed" in person.suppressed.values() or BLOCKING & person.consents)


def see(context: Context, merchant_id: int, customer: int, now: int, before: Bound | None = None) -> Steps[Seen | None]:
    """Look up what one person's page shows; customer 0 = a guest. None where the shop is unknown."""
    shop = (yield from shops([merchant_id])).get(merchant_id)
    if shop is None:
        return None
    shop_at = (yield from shop_of(merchant_id)) if shop.current.ways.sign_up else None
    spending = context.spending
    offers = (yield from spending.offers(shop, customer, now)) if spending is not None else []
    person = (yield from load([(merchant_id, customer)], now)).get((merchant_id, customer)) if customer else None
    if person is None:
        return Seen(shop, None, 0, 0, 0, None, offers, (), ())
    points = (yield from balances(merchant_id, [person.number]))[person.number]
    taken = (yield from spending.taken(shop, person.number)) if spending is not None else []
    entries = yield from moved(merchant_id, person.numbers, before or Bound(LATEST), MOST_READ)
    lapses = yield from _lapses(shop, person.number, now)
    birthday = yield from birthday_of(merchant_id, person.numbers)
    place = (yield from context.ladder.place(shop, person.number, now)) if context.ladder is not None else None
    pots = (points["available"], points["pending"], points["held"])
    inviting = context.inviting
    invitation = (yield from inviting.invitation(shop, person.number, now)) if inviting is not None else None
    return Seen(shop, person, *pots, lapses, offers, taken, entries, birthday, place, invitation, shop_at)


def _lapses(shop: Shop, customer: int, now: int) -> Steps[tuple[int, int] | None]:
    found = yield from next_lapse(shop, customer, now)
    return found if found is not None and found[1] else None


def reader_of(seen: Seen, language: str, words: Any) -> Reader:
    """Say who reads a page: in this language, in the form their own locale has of it."""
    locale = locale_name(seen.person.locale if seen.person is not None else None, language)
    tiers = {name: each.name for name, each in seen.shop.current.tiers.ladder.items()}
    return Reader(
        words, language, locale, seen.shop.currency, seen.shop.timezone, seen.shop.name, tiers, seen.shop.current.page
    )


def shown(seen: Seen, reader: Reader, acts: bool, now: int) -> dict[str, Any]:
    """Say what the page shows to somebody who `acts` or only looks, as values of its template."""
    lines, after = history(seen, reader, FIRST_LINES)
    program = seen.shop.current
    return {
        "name": seen.person.first_name if seen.person is not None else "",
        "rank": rank(reader, seen.place) if seen.place is not None else None,
        "balance": reader.number(max(0, seen.available)),
        "available": seen.available,
        "owed": reader.say("owed", points=reader.points(-seen.available)) if seen.available < 0 else "",
        "pending": reader.number(seen.pending) if seen.pending else "",
        "pending_why": reader.say("pending_why", days=reader.number(program.earning.hold_days)),
        "held": reader.number(seen.held) if seen.held else "",
        "lapse": _lapse(seen, reader),
        "whole": MOST_WHOLE,
        "whole_codes": MOST_WHOLE_CODES,
        "cards": [card(reader, offer, max(0, seen.available)) for offer in seen.offers],
        "coupons": [coupon(reader, one, acts) for one in seen.taken if is_to_use(one)][:MOST_CODES],
        "lines": lines,
        "after": after,
        "birthday": reader.date(seen.birthday.day) if seen.birthday.day is not None else "",
        "born": (seen.birthday.day or "-").split("-"),
        "birthday_from": _again(seen, reader, now),
        "wants_mail": seen.wants_mail,
        "may_agree": seen.may_agree,
        "friends": friends(reader, seen.invitation) if seen.invitation is not None else None,
        "terms": terms(reader, seen.shop, seen.offers, now),
    }


def history(seen: Seen, reader: Reader, most: int) -> tuple[list[Line], str | None]:
    """Say what happened, and where the next page begins; None = that was all."""
    rewards = {one.number: one.reward.name for one in seen.taken}
    lines: list[Line] = []
    for place, entry in enumerate(seen.entries):
        said = line(reader, entry, rewards)
        if said is None:
            continue
        if len(lines) == most:
            last = seen.entries[place - 1]
            return lines, f"{last.at}.{last.number}"
        lines.append(said)
    last_read = seen.entries[-1] if len(seen.entries) == MOST_READ else None
    return lines, f"{last_read.at}.{last_read.number}" if last_read is not None else None


def is_to_use(one: Taken) -> bool:
    """Tell whether somebody has something to use, or to wait for."""
    return one.state in ("asked", "issued", "returning")


def _again(seen: Seen, reader: Reader, now: int) -> str:
    """Say from when on another birthday may be told; empty = at once."""
    again = seen.birthday.may_change_at(now)
    return reader.say("birthday_once", day=reader.day(again)) if again > now else ""


def _lapse(seen: Seen, reader: Reader) -> str:
    if seen.lapses is None:
        return ""
    at, points = seen.lapses
    return reader.say(f"lapse_{seen.shop.current.expiry.after}", points=reader.points(points), day=reader.day(at))
