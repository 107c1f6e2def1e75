"""Settles sales into review requests: one a sale, moved as parcels move, cancelled for neutral facts only."""

from collections.abc import Sequence

from handlers.messages.outbox import UNSENT, Kept, Wish, keep, kept
from handlers.messages.rules import Place
from handlers.reviews.rules import (
    MOST_POSTPONED,
    REMINDER,
    REQUEST,
    Target,
    reminder_key,
    request_key,
    target,
)
from handlers.sales.rules import Sale
from integration.database.steps import Steps


class ReviewsSettler:
    """The reviews capability as a settler."""

    name = "reviews"

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[tuple[int, int], int]]:
        """Wish for each sale's review request, or for none; nothing here falls due by itself."""
        aims = [(sale, target(sale)) for sale in sales if _may_ask(sale)]
        # A sale as it was first told has no messages yet: most orders come before their parcels and end here.
        aims = [(sale, aim) for sale, aim in aims if aim.due_at is not None or sale.absorbed or sale.revision > 1]
        if not aims:
            return {}
        keys = set()
        for sale, _ in aims:
            for number in (sale.number, *sale.absorbed):
                keys.add((sale.shop.id, request_key(number)))
                keys.add((sale.shop.id, reminder_key(number)))
        have = yield from kept(sorted(keys))
        late = [key for sale, aim in aims for key in _put_off(sale, aim, have)]
        have |= yield from kept(sorted(late))
        wishes = [wish for sale, aim in aims for wish in _wishes(sale, aim, have)]
        return (yield from keep(wishes, have, now))


def _may_ask(sale: Sale) -> bool:
    order = sale.facts.order is not None
    return order and any(version.program.reviews.enabled for version in sale.shop.versions)


def _wishes(sale: Sale, aim: Target, have: dict[tuple[int, str], Kept]) -> list[Wish]:
    merchant_id = sale.shop.id
    due_at, reason = aim
    wishes = []

    def unwanted(key: str, kind: str, why: str | None) -> None:
        message = have.get((merchant_id, key))
        if message is not None and message.state in (*UNSENT, "sending"):
            wishes.append(Wish(merchant_id, key, kind, sale.number, sale.customer, None, why))

    # A reminder follows a request that was sent; it is not wished for here, only stopped.
    if due_at is None:
        for number in (sale.number, *sale.absorbed):
            unwanted(reminder_key(number), REMINDER, reason)
        for time in range(1, MOST_POSTPONED + 1):
            unwanted(reminder_key(sale.number, time), REMINDER, reason)
    for number in sale.absorbed:
        message = have.get((merchant_id, request_key(number)))
        if message is None:
            continue
        if message.gone or message.closed_at is not None:
            due_at, reason = None, "the same purchase was asked about already"
            own = have.get((merchant_id, request_key(sale.number)))
            if own is not None and own.gone:
                # Both were asked about before they turned out to be one: one reminder is enough.
                unwanted(reminder_key(number), REMINDER, "it is part of another sale")
        else:
            unwanted(request_key(number), REQUEST, "it is part of another sale")
    wishes.append(_request(sale, due_at, reason))
    return wishes


def _put_off(sale: Sale, aim: Target, have: dict[tuple[int, str], Kept]) -> list[tuple[int, str]]:
    """Name the questions that may have been put off for a late parcel, where they are not to be asked any more."""
    request = have.get((sale.shop.id, request_key(sale.number)))
    if aim.due_at is not None or request is None or request.state != "sent":
        return []
    return [(sale.shop.id, reminder_key(sale.number, time)) for time in range(1, MOST_POSTPONED + 1)]


def _request(sale: Sale, due_at: int | None, reason: str | None) -> Wish:
    order = sale.facts.order
    details = "{}"
    if due_at is not None and order is not None:
        details = Place(order.country, order.region, order.buyer.locale).to_json()
    return Wish(
        sale.shop.id,
        request_key(sale.number),
        REQUEST,
        sale.number,
        sale.customer,
        due_at,
        reason,
        sale.worth.test,
        details,
        sale.trace,
    )
