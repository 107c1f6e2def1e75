"""What stands in a customer's metafields: the form that the extensions read."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from handlers.merchants.tiering import Tiers
from handlers.spending import Offer

NAMESPACE = "$app:loyalty"  # ours alone: nobody else writes there
SCOPE = "write_customers"
PAGE_PATH = "/apps/regulars"  # below the shop's address, as `shopify.app.toml` says
MOST_REWARDS = 5
MOST_AT_ONCE = 25  # metafields that Shopify takes in one mutation, all or none
FIELDS_EACH = 3
PEOPLE_AT_ONCE = MOST_AT_ONCE // FIELDS_EACH

# Name, type, and what the merchant reads beside it in the admin.
DEFINITIONS = (
    ("points", "number_integer", "Points", "Points the customer can spend."),
    ("tier", "single_line_text_field", "Tier", "The customer's tier; none where there is no field."),
    ("card", "json", "Points card", "What the theme and the customer's account show."),
)
KEYS = tuple(each[0] for each in DEFINITIONS)
FORM = 1  # of what is defined; a higher one is defined anew


ADDING, OURS, FOUND = "adding", "ours", "found"
"""A tag that may not be there yet; that we added; that was there before we would have added it."""


class Card(NamedTuple):
    """What one customer's metafields say."""

    points: int  # whole ones that can be spent; below zero = owed
    tier: str | None
    text: str  # the card itself, as JSON
    tag: str | None = None  # of the tier; the customer's at Shopify

    @property
    def digest(self) -> str:
        """Tells whether Shopify has been told exactly this."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def card(points: int, pending: int, tier: str | None, offers: Sequence[Offer], shop: str) -> Card:
    """Put together what is shown: `offers` the cheapest first, of which those for other tiers are left out."""
    open_to_all = [offer for offer in offers if offer.obstacle in (None, "points")]
    shown = {
        "points": points,
        "pending": pending,
        "tier": tier,
        "next": next((_reward(offer) for offer in open_to_all if offer.reward.points > points), None),
        "rewards": [_reward(offer) for offer in open_to_all[:MOST_REWARDS]],
        "page": f"https://{shop}{PAGE_PATH}",
    }
    return Card(points, tier, json.dumps(shown, ensure_ascii=False, separators=(",", ":")))


def _reward(offer: Offer) -> dict[str, Any]:
    return {"name": offer.reward.name, "points": offer.reward.points}


def fields_of(account: str, card: Card) -> list[dict[str, str]]:
    """Write a card as the metafields of one Shopify customer."""
    owner = owner_of(account)
    values = [("points", str(card.points)), ("card", card.text)]
    if card.tier is not None:
        values.append(("tier", card.tier))
    kinds = {name: kind for name, kind, _, _ in DEFINITIONS}
    return [
        {"ownerId": owner, "namespace": NAMESPACE, "key": key, "type": kinds[key], "value": value}
        for key, value in values
    ]


def names_of(account: str, keys: Sequence[str]) -> list[dict[str, str]]:
    """Name metafields of one Shopify customer, to take them away."""
    return [{"ownerId": owner_of(account), "namespace": NAMESPACE, "key": key} for key in keys]


def owner_of(account: str) -> str:
    """Name a customer as Shopify does."""
    return f"gid://shopify/Customer/{account}"


def definition(key: str, kind: str, name: str, description: str) -> dict[str, Any]:
    """Say what a metafield is: Flow and the admin read it, so does the customer it belongs to, and nobody writes."""
    return {
        "namespace": NAMESPACE,
        "key": key,
        "type": kind,
        "name": name,
        "description": description,
        "ownerType": "CUSTOMER",
        "access": {"admin": "MERCHANT_READ", "storefront": "NONE", "customerAccount": "READ"},
    }


def tag_of(tiers: Tiers, tier: str | None) -> str | None:
    """Return the tag of whoever has a tier; None where the merchant wants none."""
    one = tiers.ladder.get(tier or "") if tiers.enabled else None
    return one.tag or None if one is not None else None


def takes_away(tag: str, state: str | None, tiers: Tiers) -> bool:
    """Tell whether a tag that is not somebody's any more is taken away.

    One we added is; one that was there before only where it is the tag of a tier, which the customer has left.
    """
    named = {each.tag.casefold() for each in tiers.ladder.values()} if tiers.enabled else set()
    return state != FOUND or tag.casefold() in named


class Change(NamedTuple):
    """A tag that one Shopify customer gets or loses."""

    account: str
    tag: str
    adds: bool


def tagging(changes: Sequence[Change]) -> tuple[str, dict[str, Any]]:
    """Write changes of tags as one mutation, a field for each under its place (`c0`, `c1`, …), and its variables."""
    names, fields = [], []
    variables: dict[str, Any] = {}
    for place, one in enumerate(changes):
        names.append(f"$id{place}: ID!, $tags{place}: [String!]!")
        does = "tagsAdd" if one.adds else "tagsRemove"
        fields.append(f"  c{place}: {does}(id: $id{place}, tags: $tags{place}) {{ userErrors {{ field message }} }}")
        variables |= {f"id{place}": owner_of(one.account), f"tags{place}": [one.tag]}
    return "\n".join([f"mutation MirrorTagging({', '.join(names)}) {{", *fields, "}"]), variables


def touched(accounts: Sequence[str]) -> set[int]:
    """Say whose points the named accounts of the ledger are: `customer:7:available` is of customer 7."""
    found = set()
    for account in accounts:
        kind, _, rest = account.partition(":")
        number = rest.partition(":")[0]
        if kind == "customer" and number.isdigit():
            found.add(int(number))
    return found
