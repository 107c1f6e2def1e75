"""Referrals as others show them: a customer's own page, and the merchant's timeline of a customer."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Literal

from handlers.coupons import Coupons
from handlers.customers.persons import persons, shown_names
from handlers.customers.timeline import Badge, Bound, Item, Whose
from handlers.inviting import Invitation
from handlers.merchants.books import lock_books, shops
from handlers.merchants.rules import Refused, Shop
from handlers.points.rules import MICRO
from handlers.referrals import codes, store
from handlers.referrals.codes import Code, Link
from handlers.referrals.rules import spelt
from handlers.referrals.store import Referral
from integration.clock import DAY
from integration.database.steps import Steps
from integration.money import exponent

MOST_AT_ONCE = 20  # referrals of one instant
_SIDES: tuple[Literal["referrer", "friend"], ...] = ("referrer", "friend")

# State -> what the merchant reads, and the tone of its badge.
STATES: Mapping[str, Badge] = {
    "waiting": Badge("Not paid yet", "info"),
    "pending": Badge("Waits for the return window", "info"),
    "given": Badge("Points given", "success"),
    "held": Badge("Waits for you", "warning"),
    "refused": Badge("No points"),
    "returned": Badge("Came back"),
}
REASONS: Mapping[str, str] = {
    "self": "Friend and customer are the same person.",
    "known": "The friend was a customer before.",
    "household": "Friend and customer have the same telephone number.",
    "address": "Something was sent to both at the same address. Neighbours and people who live together can be two"
    " customers all the same: you decide.",
    "mutual": "The friend had brought the customer before: of two, one brings the other.",
    "many": "Very many friends in one day.",
    "not_first": "The friend had bought here before.",
    "month": "The customer has brought as many friends as count in one month.",
    "all": "The customer has brought as many friends as count at all.",
    "shop": "You said no.",
    "off": "Bringing friends was switched off when it was bought.",
    "unpaid": "The order is not paid, or counts with another one.",
    "returned": "The order, or most of it, came back.",
}


class Doorway:
    """What customers' pages may ask about bringing friends (`Context.inviting`)."""

    def __init__(self, coupons: Coupons) -> None:
        """`coupons` knows which platform makes which code."""
        self._coupons = coupons

    def invitation(self, shop: Shop, customer: int, now: int) -> Steps[Invitation | None]:
        """Say what bringing friends brings a person; None where the shop does not offer it."""
        terms = shop.current.referrals
        if not terms.enabled or shop.closed_at is not None or self._coupons.platform(terms.gift) not in shop.platforms:
            return None
        if not customer:
            return Invitation("new", None, terms.points, terms.welcome, 0, 0)
        numbers = yield from _numbers(shop.id, customer)
        links = yield from codes.links_of(numbers)
        counts = yield from store.counted(numbers)
        mine = next((one for one in links if one.state == "open"), None)
        return Invitation(
            "open" if mine is not None else "over" if links else "new",
            mine.code if mine is not None else None,
            terms.points,
            terms.welcome,
            counts.get("pending", 0) + counts.get("held", 0),
            counts.get("given", 0),
        )

    def invite(self, shop: Shop, customer: int, now: int) -> Steps[None]:
        """Give a person their link; again changes nothing."""
        yield from lock_books([shop.id])
        shop = (yield from shops([shop.id]))[shop.id]
        offered = yield from self.invitation(shop, customer, now)
        if offered is None or offered.state == "over" or not customer:
            raise Refused("There is no link to be had.")
        if offered.state == "new":
            ((_, root), _), *_ = (yield from persons([(shop.id, customer)])).items()
            yield from codes.put_link(Link(shop.id, spelt(secrets.token_bytes(16)), root, "open", now))


def welcome(shop: Shop, link: Link, asker: str, now: int) -> Steps[Code]:
    """Give whoever has a link a code of their own, and have it made. Raises Refused where too many were asked for."""
    yield from lock_books([shop.id])
    present = yield from codes.link_of(shop.id, link.code)
    if present is None or present.state != "open" or (yield from codes.is_over(link, asker, now)):
        raise Refused("There is no code to be had now.")
    reward = shop.current.referrals.welcome
    code = Code(
        merchant_id=shop.id,
        code=spelt(secrets.token_bytes(16)),
        link=link.code,
        customer=link.customer,
        asker=asker,
        state="asked",
        kind=reward.kind,
        terms=codes.terms_of(reward),
        value_minor=int(reward.value.scaleb(exponent(shop.currency))),
        currency=shop.currency,
        created_at=now,
        expires_at=now + reward.valid_days * DAY,
        next_at=now,
    )
    yield from codes.put_code(code)
    return code


class Friends:
    """The source `friends`: who brought somebody, and whom they brought; names are the merchant's to see alone."""

    name = "friends"

    def items(self, whose: Whose, before: Bound, limit: int) -> Steps[Sequence[Item]]:
        """List referrals by their order."""
        found = []
        for number in whose.numbers:
            for side in _SIDES:
                rows = yield from store.newest((whose.shop.id, number), side, before.at, limit + MOST_AT_ONCE)
                found += [(row, side == "referrer") for row in rows]
        found = [each for each in found if (each[0].at, _key(*each)) < before]
        found.sort(key=lambda pair: (pair[0].at, _key(*pair)), reverse=True)
        shown = found[:limit]
        names = yield from shown_names(whose.shop.id, {n for row, _ in shown for n in (row.referrer, row.friend) if n})
        return [_item(row, side, names) for row, side in shown]


def called(number: int | None, names: Mapping[int, str]) -> str:
    """Name a customer for the merchant."""
    return names.get(number, f"customer {number}") if number is not None else "somebody unknown"


def _key(row: Referral, brought: bool) -> str:
    return f"{row.sale:018}{'b' if brought else 'a'}"


def _item(row: Referral, brought: bool, names: Mapping[int, str]) -> Item:
    who = called(row.friend if brought else row.referrer, names)
    points = (row.pending + row.available) // MICRO
    return Item(
        at=row.at,
        key=_key(row, brought),
        what="note",
        title=f"Brought a friend: {who}" if brought else f"Brought by {who}",
        badge=STATES[row.state],
        details=(REASONS[row.why],) if row.why in REASONS else (),
        points=points if brought and points else None,
    )


def _numbers(merchant_id: int, customer: int) -> Steps[list[tuple[int, int]]]:
    found = yield from persons([(merchant_id, customer)])
    return [(merchant_id, n) for numbers in found.values() for n in numbers]
