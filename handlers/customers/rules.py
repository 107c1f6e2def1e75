"""Who is who: one person across Shopify, Stripe and e-mail, as a pure function of everything claimed.

A *node* is one of our customer numbers. Each stands for one Shopify customer, one Stripe customer, or one bare
e-mail address of a guest. Nodes claim addresses; claims are only ever added, so the outcome does not depend on
the order they came in (settlement rules, section 1, "Customer of a sale").
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    """One customer number and what it claims; `gone_into` is set by a merge in the shop."""

    number: int
    shopify_id: str | None = None
    emails: set[str] = field(default_factory=set)
    gone_into: int | None = None


def normalise(email: str) -> str:
    """Write an address the one way it is compared: trimmed and in lower case."""
    return email.strip().lower()


def owners(nodes: Mapping[int, Node]) -> tuple[dict[int, int], dict[str, int]]:
    """Say which number each node means, and which number owns each address.

    An address belongs to the Shopify customer with the lowest id of those who claim it: two Shopify customers
    are never one person by e-mail alone. Stripe customers and guests that share addresses form a circle; it is
    the Shopify customer with the lowest id who claims any of its addresses, else one person who goes by the
    circle's lowest number.
    """
    chased = {number: _chase(number, nodes) for number in nodes}
    of_shop: dict[str, int] = {}
    for node in nodes.values():
        if node.shopify_id is not None:
            mine = chased[node.number]
            for email in node.emails:
                other = of_shop.get(email)
                if other is None or _age(nodes[mine]) < _age(nodes[other]):
                    of_shop[email] = mine

    leader = {number: number for number in sorted(nodes) if nodes[number].shopify_id is None}
    first_with: dict[str, int] = {}
    for number in leader:
        for email in nodes[number].emails:
            one, two = _leader(first_with.setdefault(email, number), leader), _leader(number, leader)
            leader[max(one, two)] = min(one, two)
    circle_owner: dict[int, int] = {}
    for email, number in first_with.items():
        claimant = of_shop.get(email)
        circle = _leader(number, leader)
        best = circle_owner.get(circle)
        if claimant is not None and (best is None or _age(nodes[claimant]) < _age(nodes[best])):
            circle_owner[circle] = claimant

    of_node: dict[int, int] = {}
    for number, node in nodes.items():
        if node.shopify_id is not None:
            of_node[number] = chased[number]
        else:
            circle = _leader(number, leader)
            of_node[number] = circle_owner.get(circle, circle)
    of_email = {email: of_node[number] for email, number in first_with.items()}
    return of_node, of_email | of_shop


def _age(node: Node) -> tuple[int, str]:
    """Order Shopify customers by their numeric id: the lower, the older."""
    shopify_id = node.shopify_id or ""
    return (len(shopify_id), shopify_id)


def _chase(number: int, nodes: Mapping[int, Node]) -> int:
    seen = {number}
    while (into := nodes[number].gone_into) is not None and into in nodes and into not in seen:
        seen.add(into)
        number = into
    return number


def _leader(number: int, leader: Mapping[int, int]) -> int:
    while leader[number] != number:
        number = leader[number]
    return number


def eldest(claimants: Iterable[tuple[int, str | None]]) -> int | None:
    """Pick an address's owner from its claimants as (number they mean, that number's Shopify id or None)."""
    best: tuple[bool, int, str, int] | None = None
    for number, shopify_id in claimants:
        rank = (shopify_id is None, len(shopify_id or ""), shopify_id or "", number)
        if best is None or rank < best:
            best = rank
    return None if best is None else best[3]
