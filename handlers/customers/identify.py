"""Find or make the person behind platform ids and addresses, for a whole batch at once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from handlers.customers.rules import Node, eldest, owners
from handlers.merchants.books import Counters
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed

MAX_ROUNDS = 12  # how far shared addresses are followed from one person to the next

_LOOK_UP = keyed(
    "SELECT i.merchant_id, i.kind, i.value, c.number, c.shopify_id, c.merged_into, o.shopify_id"
    " FROM {keys} k CROSS JOIN customer_identities i"
    " JOIN customers c ON c.merchant_id = i.merchant_id AND c.number = i.customer"
    " LEFT JOIN customers o ON o.merchant_id = c.merchant_id AND o.number = c.merged_into"
    " WHERE i.merchant_id = k.merchant_id AND i.kind = k.kind AND i.value = k.value",
    merchant_id=BIG,
    kind=TEXT,
    value=TEXT,
)
# The plus keeps SQLite from reading all names of the merchant: its key's index holds every column.
_CLAIMS_OF = keyed(
    "SELECT i.merchant_id, i.kind, i.value, i.customer"
    " FROM {keys} k CROSS JOIN customer_identities i"
    " WHERE +i.merchant_id = k.merchant_id AND i.customer = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
_NODES = keyed(
    "SELECT c.merchant_id, c.number, c.shopify_id, c.merged_into"
    " FROM {keys} k CROSS JOIN customers c WHERE c.merchant_id = k.merchant_id AND c.number = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
_MERGED_INTO = keyed(
    "SELECT c.merchant_id, c.number FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.merged_into = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
_ADD_IDENTITIES = insert(
    "customer_identities",
    "ON CONFLICT DO NOTHING",
    merchant_id=BIG,
    kind=TEXT,
    value=TEXT,
    customer=BIG,
)
# What is told of a person goes by groups: the newest word on a group wins, whatever else came with it.
_PROFILE = {
    "email": ("email",),
    "name": ("first_name", "last_name"),
    "phone": ("phone",),
    "locale": ("locale",),
    "place": ("country", "region"),
}


def _newest(group: str, columns: tuple[str, ...]) -> str:
    def words(table: str) -> str:
        return " || ' ' || ".join(f"COALESCE({table}.{column}, '')" for column in columns)

    # Between two words of one instant the greater is kept, whichever came first.
    newer = (
        f"(excluded.{group}_at > customers.{group}_at OR"
        f" (excluded.{group}_at = customers.{group}_at AND {words('excluded')} > {words('customers')}))"
    )
    kept = [f"{c} = CASE WHEN {newer} THEN excluded.{c} ELSE customers.{c} END" for c in (*columns, f"{group}_at")]
    return ", ".join(kept)


_PUT_CUSTOMERS = insert(
    "customers",
    "ON CONFLICT (merchant_id, number) DO UPDATE SET "
    + ", ".join(_newest(group, columns) for group, columns in _PROFILE.items())
    + ", shopify_id = COALESCE(customers.shopify_id, excluded.shopify_id)",
    merchant_id=BIG,
    number=BIG,
    shopify_id=TEXT,
    created_at=BIG,
    **{c: kind for g, columns in _PROFILE.items() for c, kind in (*((c, TEXT) for c in columns), (f"{g}_at", BIG))},
)
_POINT_AT = keyed(
    "UPDATE customers SET merged_into = k.owner FROM {keys} k"
    " WHERE customers.merchant_id = k.merchant_id AND customers.number = k.customer",
    merchant_id=BIG,
    customer=BIG,
    owner=BIG,
)


class Person(NamedTuple):
    """What names a buyer, and what a platform told of them at `told_at`; any part may be missing."""

    shopify_id: str | None = None
    stripe_id: str | None = None
    emails: tuple[str, ...] = ()  # claimed by this person, the present one first
    email: str | None = None  # where mail goes
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    locale: str | None = None
    country: str | None = None
    region: str | None = None
    told_at: int = 0


Profile = dict[str, tuple[int, tuple[str, ...]]]
"""What is told of a person: group -> (when, its words)."""

_UNKNOWN: Profile = {}


class Moved(NamedTuple):
    """A number that used to stand for itself (or another) and now means somebody else."""

    merchant_id: int
    number: int
    into: int


@dataclass(slots=True)
class People:
    """The persons of one merchant that a batch names, as loaded and as changed by it."""

    counters: Counters
    now: int
    by_id: dict[tuple[str, str], int] = field(default_factory=dict)  # (shopify | stripe, id) -> node
    claimants: dict[str, set[int]] = field(default_factory=dict)  # address -> nodes
    means: dict[int, int] = field(default_factory=dict)  # node -> the number it means
    shopify_ids: dict[int, str | None] = field(default_factory=dict)  # node -> its Shopify id
    fresh: set[int] = field(default_factory=set)
    claimed: set[int] = field(default_factory=set)  # nodes that claimed an address in this batch
    new_identities: list[tuple[str, str, int]] = field(default_factory=list)
    profiles: dict[int, Profile] = field(default_factory=dict)
    unsettled: set[int] = field(default_factory=set)  # nodes whose claims may change who is who
    merges: list[tuple[str, str]] = field(default_factory=list)  # (kept, gone) Shopify ids
    stirred: set[int] = field(default_factory=set)  # owners whose sales may now belong to another
    moved: list[Moved] = field(default_factory=list)

    def resolve(self, shopify_id: str | None, email: str | None, stripe_id: str | None) -> int | None:
        """Say whose sale it is: the Shopify customer, else the address's owner, else the Stripe customer."""
        if shopify_id is not None and (node := self.by_id.get(("shopify", shopify_id))) is not None:
            return self.means[node]
        if email is not None and (owner := self.owner(email)) is not None:
            return owner
        if stripe_id is not None and (node := self.by_id.get(("stripe", stripe_id))) is not None:
            return self.means[node]
        return None

    def owner(self, email: str) -> int | None:
        """The number an address belongs to."""
        nodes = self.claimants.get(email)
        if not nodes:
            return None
        direct = [n for n in nodes if self.shopify_ids[n] is not None]
        if not direct:
            return self.means[min(nodes)]
        return eldest((m, self.shopify_ids.get(m)) for m in (self.means[n] for n in direct))

    def claim(self, person: Person) -> int | None:
        """Take note of what a fact says about a person; return their node, made where there was none."""
        if person.shopify_id is not None:
            node = self._node("shopify", person.shopify_id)
        elif person.stripe_id is not None:
            node = self._node("stripe", person.stripe_id)
        elif person.emails:
            known = self.claimants.get(person.emails[0])
            if known:
                guests = [n for n in known if self.shopify_ids[n] is None]
                if guests:
                    self._note(min(guests), person)
                return self.owner(person.emails[0])
            node = self._make(None)
        else:
            return None
        for email in person.emails:
            self._claim_email(node, email)
        self._note(node, person)
        return self.means[node]

    def _note(self, node: int, person: Person) -> None:
        profile = self.profiles.setdefault(node, {})
        for group, columns in _PROFILE.items():
            words = tuple(getattr(person, column) or None for column in columns)
            if any(words):
                told = (max(1, person.told_at), tuple(word or "" for word in words))
                profile[group] = max(profile.get(group, told), told)

    def _node(self, platform: str, platform_id: str) -> int:
        node = self.by_id.get((platform, platform_id))
        if node is None:
            node = self._make(platform_id if platform == "shopify" else None)
            self.by_id[platform, platform_id] = node
            self.new_identities.append((platform, platform_id, node))
        return node

    def _make(self, shopify_id: str | None) -> int:
        node = self.counters.take_customer()
        self.fresh.add(node)
        self.means[node] = node
        self.shopify_ids[node] = shopify_id
        return node

    def _claim_email(self, node: int, email: str) -> None:
        nodes = self.claimants.setdefault(email, set())
        if node in nodes:
            return
        first_claim = node in self.fresh and node not in self.claimed
        self.claimed.add(node)
        if nodes:
            if self.shopify_ids[node] is None and first_claim:
                # The newcomer joins the circle that has the address, else its owner; nobody else is touched.
                circle = [n for n in nodes if self.shopify_ids[n] is None]
                owner = self.means[min(circle)] if circle else self.owner(email)
                self.means[node] = node if owner is None else owner
            else:
                self.unsettled.add(node)
        elif not first_claim and self.shopify_ids[node] is None:
            self.unsettled.add(node)
        nodes.add(node)
        self.new_identities.append(("email", email, node))


def load(wanted: dict[int, set[tuple[str, str]]], counters: dict[int, Counters], now: int) -> Steps[dict[int, People]]:
    """Load the persons whom these identities name; `wanted` maps merchants to (kind, value) pairs."""
    found = {merchant_id: People(counters[merchant_id], now) for merchant_id in wanted}
    keys = [(m, kind, value) for m in sorted(wanted) for kind, value in sorted(wanted[m])]
    rows = yield from ask(_LOOK_UP, keys)
    for merchant_id, kind, value, number, shopify_id, merged_into, meant_shopify_id in rows:
        people = found[merchant_id]
        people.means[number] = number if merged_into is None else merged_into
        people.shopify_ids[number] = shopify_id
        if merged_into is not None:
            people.means.setdefault(merged_into, merged_into)
            people.shopify_ids.setdefault(merged_into, meant_shopify_id)
        if kind == "email":
            people.claimants.setdefault(value, set()).add(number)
        else:
            people.by_id[kind, value] = number
    return found


def save(found: Iterable[People]) -> Steps[None]:
    """Write what the batch learnt of people, and work out who is who where claims overlap."""
    people = [p for p in found if p.fresh or p.new_identities or p.profiles or p.merges]
    if not people:
        return
    profiles = [
        (p.counters.merchant_id, node, p.shopify_ids[node], p.now, *_written(profile))
        for p in people
        for node, profile in sorted({**dict.fromkeys(p.fresh, _UNKNOWN), **p.profiles}.items(), key=lambda n: n[0])
    ]
    yield from ask(_PUT_CUSTOMERS, profiles)
    yield from ask(
        _ADD_IDENTITIES,
        [(p.counters.merchant_id, kind, value, node) for p in people for kind, value, node in p.new_identities],
    )
    # Each number once: who joined a circle in this batch may follow it further, and the last meaning counts.
    pointers: dict[tuple[int, int], int | None] = {}
    for one in people:
        merchant_id = one.counters.merchant_id
        pointers |= {(merchant_id, n): one.means[n] for n in one.fresh if one.means[n] != n}
        if one.unsettled or one.merges:
            pointers |= {(m, n): owner for m, n, owner in (yield from _settle_who(one))}
    yield from ask(_POINT_AT, [(m, n, owner) for (m, n), owner in sorted(pointers.items())])


def _written(profile: Profile) -> Iterator[str | int | None]:
    for group, columns in _PROFILE.items():
        told_at, words = profile.get(group, (0, ("",) * len(columns)))
        yield from (word or None for word in words)
        yield told_at


def _settle_who(people: People) -> Steps[list[tuple[int, int, int | None]]]:
    """Work out who is who among all persons that share addresses with the unsettled ones."""
    merchant_id = people.counters.merchant_id
    start = set(people.unsettled)
    gone_into: dict[int, int] = {}
    for kept, gone in people.merges:
        kept_node, gone_node = people.by_id["shopify", kept], people.by_id["shopify", gone]
        gone_into[gone_node] = kept_node
        start |= {kept_node, gone_node}
    nodes, meant = yield from _related(merchant_id, start)
    for gone_node, kept_node in gone_into.items():
        if not _leads_to(kept_node, gone_node, nodes):
            nodes[gone_node].gone_into = kept_node
    before = {n: people.means.get(n, meant[n]) for n in nodes}
    of_node, of_email = owners(nodes)

    pointers: list[tuple[int, int, int | None]] = []
    for n in sorted(nodes):
        if n not in people.fresh and before[n] == n != of_node[n]:
            people.moved.append(Moved(merchant_id, n, of_node[n]))
        people.means[n] = of_node[n]
        people.shopify_ids[n] = nodes[n].shopify_id
        pointers.append((merchant_id, n, None if of_node[n] == n else of_node[n]))
    # Whoever had anything to do with it may hold sales that are now somebody else's.
    people.stirred |= set(before.values()) | set(of_email.values()) | set(of_node.values())
    return pointers


def _leads_to(start: int, end: int, nodes: dict[int, Node]) -> bool:
    seen: set[int] = set()
    number: int | None = start
    while number is not None and number not in seen:
        if number == end:
            return True
        seen.add(number)
        number = nodes[number].gone_into if number in nodes else None
    return False


def _related(merchant_id: int, start: set[int]) -> Steps[tuple[dict[int, Node], dict[int, int]]]:
    """Load all nodes reachable over shared addresses and earlier merges, and what each means so far."""
    nodes: dict[int, Node] = {}
    meant: dict[int, int] = {}
    fresh = set(start)
    emails_seen: set[str] = set()
    for _ in range(MAX_ROUNDS):
        if not fresh:
            break
        keys = [(merchant_id, n) for n in sorted(fresh)]
        into: set[int] = set()
        for _, number, shopify_id, merged_into in (yield from ask(_NODES, keys)):
            is_shopify = shopify_id is not None
            nodes[number] = Node(number, shopify_id, gone_into=merged_into if is_shopify else None)
            meant[number] = number if merged_into is None else merged_into
            if merged_into is not None:
                into.add(merged_into)
        new_emails: set[str] = set()
        for _, kind, value, number in (yield from ask(_CLAIMS_OF, keys)):
            if kind == "email" and number in nodes:
                nodes[number].emails.add(value)
                new_emails.add(value)
        into |= {row[1] for row in (yield from ask(_MERGED_INTO, keys))}
        new_emails -= emails_seen
        emails_seen |= new_emails
        rows = yield from ask(_LOOK_UP, [(merchant_id, "email", e) for e in sorted(new_emails)])
        fresh = ({row[3] for row in rows} | into) - nodes.keys()
    return nodes, meant


def find(merchant_id: int, names: Sequence[tuple[str, str]]) -> Steps[int | None]:
    """Find the number a (kind, value) name means, trying them in turn; kinds are shopify, stripe, email."""
    counters = {merchant_id: Counters(merchant_id, 0, 0, 0)}
    people = (yield from load({merchant_id: set(names)}, counters, 0))[merchant_id]
    for kind, value in names:
        found = people.resolve(
            value if kind == "shopify" else None,
            value if kind == "email" else None,
            value if kind == "stripe" else None,
        )
        if found is not None:
            return found
    return None
