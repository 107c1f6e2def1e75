"""A gift card, as Shopify makes it under our code; the card is whoever's knows the code, so it names no customer.

Naming one would need the scope to write customers. Shopify tells a card's code once, when it is made: it is ours, so
that an answer that got lost costs nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from handlers.rewards.kinds import Declined, Fate, Issued, Pending, Platform, Wanted
from handlers.rewards.kinds.shopify_codes import only, refuse, said
from handlers.rewards.kinds.shopify_discounts import money
from integration.clock import to_datetime
from integration.errors import Unavailable
from integration.money import from_decimal_text

LOOK_AGAIN = 5.0  # seconds until a card that is there and not yet found is searched for again
_TAKEN = "TAKEN"


class GiftCard:
    """The kind `gift_card`."""

    name = "gift_card"
    platform = "shopify"
    alone = False
    bulk = None

    async def issue(self, at: Platform, wanted: Wanted, again: bool) -> Issued | Declined | Pending:
        """Make the card under our code; that the code is taken means that it is there."""
        if again and (found := await _found(at, wanted)) is not None:
            return Issued(found)
        card = {
            "initialAmount": {"amount": money(wanted), "currencyCode": wanted.currency},
            "code": wanted.code.lower(),
            "expiresOn": None if wanted.expires_at is None else f"{to_datetime(wanted.expires_at):%Y-%m-%d}",
            "note": _note(wanted),
        }
        made = only(await at.shopify("reward_gift_card", {"card": card}))
        errors = made.get("userErrors") or []
        if any(error.get("code") == _TAKEN for error in errors):
            # Nobody can guess our code: we made it. The search may not know it yet.
            found = await _found(at, wanted)
            return Pending(LOOK_AGAIN) if found is None else Issued(found)
        if errors:
            return Declined(said(errors))
        if not isinstance(made.get("giftCard"), dict) or not made["giftCard"].get("id"):
            raise Unavailable("Shopify made a gift card and does not say which")
        return Issued(str(made["giftCard"]["id"]))

    @property
    def purse(self) -> "GiftCard":
        """Its balance tells how much is left."""
        return self

    async def look_all(self, at: Platform, wanted: Sequence[Wanted]) -> Sequence[Fate]:
        """Say how much was paid with cards, all by one question."""
        answer = await at.shopify("reward_gift_cards", {"ids": [each.platform_id for each in wanted]})
        cards = {card["id"]: card for card in answer.get("nodes") or () if isinstance(card, Mapping) and card.get("id")}
        return [_fate(cards.get(each.platform_id), each) for each in wanted]

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Fate:
        """Deactivate a card, whatever is left on it; Shopify never brings one back."""
        (fate,) = await self.look_all(at, [wanted])
        if fate.standing != "unused":
            return fate
        made = only(await at.shopify("reward_gift_card_off", {"id": wanted.platform_id}))
        refuse(made)
        # Somebody may have paid with it between the look and the switch: the answer tells.
        return _fate(made.get("giftCard"), wanted)


def _fate(card: Any, wanted: Wanted) -> Fate:
    if not isinstance(card, Mapping):
        return Fate("gone", wanted.used_minor)
    left = from_decimal_text(card["balance"]["amount"], wanted.currency)
    used = max(0, wanted.value_minor - left)
    if left <= 0:
        return Fate("used", used)
    return Fate("unused" if card["enabled"] else "gone", used)


def _note(wanted: Wanted) -> str:
    """Write what the merchant reads beside the card; it must not tell the code."""
    return f"{wanted.reward.name} (reward {wanted.number})"


async def _found(at: Platform, wanted: Wanted) -> str | None:
    answer = await at.shopify("reward_gift_card_look", {"search": wanted.code.lower()})
    for card in (answer.get("giftCards") or {}).get("nodes") or []:
        # A search finds the code anywhere, and other cards with it.
        if card["note"] == _note(wanted) and card["lastCharacters"].lower() == wanted.code[-4:].lower():
            return str(card["id"])
    return None
