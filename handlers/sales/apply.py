"""The hot path: a batch of told events becomes sales, persons, and what is owed, in one transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from handlers.customers.consent import keep_consents
from handlers.customers.identify import Moved, People, Person
from handlers.customers.identify import load as load_people
from handlers.customers.identify import save as save_people
from handlers.inbox.rules import Apply, Gate, Outcome, Resettle, Resettled, Told
from handlers.merchants.books import Counters, lock_books, save_books, shops
from handlers.merchants.rules import Shop
from handlers.merchants.told import hear_of_shop
from handlers.sales.books import (
    LoadedSale,
    bring_forward,
    due_sales,
    find_sales,
    load_sales,
    put_off,
    save_sales,
    stir_sales,
    stir_sold_since,
)
from handlers.sales.goods import look_where_goods_lay
from handlers.sales.history import is_quiet, mark
from handlers.sales.pairs import pair_later, pair_twins
from handlers.sales.rules import Identity, Sale, SaleFact, SaleFacts, absorb, naming, of_sale, order_of, remember
from handlers.sales.settle import (
    WHOLE,
    Listener,
    Ranker,
    Settler,
    attempt,
    forget_failures,
    note_failure,
    settle_all,
)
from handlers.sales.worth import buyer, valued, worth_nothing
from integration.database.steps import Steps
from integration.facts import (
    Buyer,
    ChargeSeen,
    ConsentSeen,
    CustomerSeen,
    CustomersMerged,
    DiscountSeen,
    DisputeSeen,
    Fact,
    Invoice,
    InvoiceSeen,
    LookAgain,
    OrderSeen,
    PaymentSeen,
    PrivacyRequest,
    PromotionSeen,
    ScopesSeen,
    SessionSeen,
    ShopSeen,
    Uninstalled,
)

Follower = Callable[[Sequence[Moved], int], Steps[None]]
"""Moves what hangs on a customer number (and on no sale) when the number turns out to mean somebody else."""

MOST_PAIRINGS = 8  # how far a change of twins is followed at once; what is beyond is settled by the clock


@dataclass(slots=True)
class Book:
    """One merchant's share of a batch."""

    shop: Shop
    counters: Counters
    people: People
    by_name: dict[Identity, LoadedSale] = field(default_factory=dict)
    touched: dict[int, LoadedSale] = field(default_factory=dict)


def make_apply(
    settlers: Sequence[Settler],
    followers: Sequence[Follower],
    gate: Gate,
    listeners: Sequence[Listener] = (),
    ranker: Ranker | None = None,
) -> tuple[Apply, Resettle]:
    """Bind the capabilities to the two entrances of the hot path: events, which pass the gate, and the clock."""

    def apply(told: Sequence[Told], now: int) -> Steps[dict[int, Outcome]]:
        # Locked before the gate looks: nobody is forgotten between its look and what is written here.
        counters = yield from lock_books(one.merchant_id for one in told)
        told, outcomes = yield from gate.sieve(told, now)
        books = yield from _open(told, counters, now)
        for one in told:
            if one.merchant_id in books:
                outcomes[one.event_id] = yield from _take(books[one.merchant_id], one, gate, listeners, now)
        yield from _close(books, settlers, followers, ranker, now)
        return outcomes

    def resettle(limit: int, now: int, after: int = 0, ahead: int | None = None, /) -> Steps[Resettled]:
        if ahead is not None:
            yield from bring_forward(now, ahead)
        due, more, after = yield from due_sales(now, limit, after)
        if due and isinstance((yield from attempt(lambda: settle_due(due, now))), Exception):
            for key in due:
                # One sale that cannot be settled must not stop the clock for all others.
                alone = yield from attempt(lambda one=key: settle_due([one], now))  # type: ignore[misc]
                if isinstance(alone, Exception):
                    yield from put_off(key, now)
                    yield from note_failure((*key, WHOLE), 0, alone, now)
        return Resettled(len(due), more, after)

    def settle_due(due: Sequence[tuple[int, int]], now: int) -> Steps[None]:
        counters = yield from lock_books(merchant_id for merchant_id, _ in due)
        known = yield from shops(counters)
        loaded = yield from load_sales(due, due=True)
        wanted = {merchant_id: set[tuple[str, str]]() for merchant_id in counters}
        for sale in loaded:
            wanted[sale.merchant_id] |= _names_of(buyer(sale.facts)[0])
        people = yield from load_people(wanted, counters, now)
        books = {m: Book(known[m], counters[m], people[m]) for m in counters if m in known}
        for sale in loaded:
            if sale.merged_into is None:
                books[sale.merchant_id].touched[sale.number] = sale
        yield from _close(books, settlers, followers, ranker, now)

    return apply, resettle


# --- Opening: lock, and load everything the batch names in a few round trips ---------------------


def _open(told: Sequence[Told], counters: dict[int, Counters], now: int) -> Steps[dict[int, Book]]:
    known = yield from shops(counters)
    names: set[tuple[int, Identity]] = set()
    wanted: dict[int, set[tuple[str, str]]] = {merchant_id: set() for merchant_id in counters}
    for one in told:
        if one.merchant_id not in counters:
            continue
        for fact in one.reading.facts:
            if of_sale(fact):
                found = naming(fact)  # type: ignore[arg-type]
                names.update((one.merchant_id, identity) for identity in found.strong)
                if found.weak is not None:
                    names.add((one.merchant_id, found.weak))
            for person in _persons(fact):
                wanted[one.merchant_id] |= _names(person)
    by_name, loaded = yield from find_sales(names)
    for sale in loaded:
        wanted[sale.merchant_id] |= _names_of(buyer(sale.facts)[0])
    people = yield from load_people(wanted, counters, now)
    books = {m: Book(known[m], counters[m], people[m]) for m in counters if m in known}
    for (merchant_id, identity), sale in by_name.items():
        books[merchant_id].by_name[identity] = sale
    return books


def _persons(fact: Fact) -> Iterable[Person]:
    """List the persons a fact speaks of, each with the addresses it claims for them."""
    match fact:
        case OrderSeen(order=order):
            who = order.buyer
            claimed = who.customer_email if who.platform_id else who.email
            sure = who.platform_id is None or who.email_verified is not False
            yield _person(
                who,
                "shopify",
                (claimed,) if claimed and sure else (),
                order.updated_at,
                order.country,
                order.region,
            )
        case ChargeSeen(charge=charge):
            yield _person(
                charge.buyer,
                "stripe",
                _claims(charge.buyer),
                charge.created_at,
                charge.country,
                charge.region,
            )
        case SessionSeen(session=session):
            yield _person(
                session.buyer,
                "stripe",
                _claims(session.buyer),
                session.told_at,
                session.country,
                session.region,
            )
        case PaymentSeen(payment=payment):
            yield _person(payment.buyer, "stripe", _claims(payment.buyer), payment.created_at, payment.country)
        case InvoiceSeen(invoice=invoice):
            yield _person(invoice.buyer, "stripe", _claims(invoice.buyer), invoice.told_at)
        case CustomerSeen(platform=platform, buyer=who, deleted=False):
            claims = _claims(who) if platform == "stripe" or who.email_verified is not False else ()
            former = (fact.former_email,) if fact.former_email and platform == "stripe" else ()
            yield _person(who, platform, (*claims, *former), fact.told_at)
        case CustomersMerged(kept_id=kept_id, gone_id=gone_id):
            yield Person(shopify_id=kept_id)
            yield Person(shopify_id=gone_id)


def _claims(who: Buyer) -> tuple[str, ...]:
    return (who.email,) if who.email else ()


def _person(
    who: Buyer,
    platform: str,
    emails: tuple[str, ...],
    told_at: int,
    country: str | None = None,
    region: str | None = None,
) -> Person:
    return Person(
        shopify_id=who.platform_id if platform == "shopify" else None,
        stripe_id=who.platform_id if platform == "stripe" else None,
        emails=emails,
        email=who.customer_email or who.email,
        first_name=who.first_name,
        last_name=who.last_name,
        phone=who.phone,
        locale=who.locale,
        country=country,
        region=region,
        told_at=told_at,
    )


def _names(person: Person) -> set[tuple[str, str]]:
    found = {("email", email) for email in person.emails}
    if person.shopify_id is not None:
        found.add(("shopify", person.shopify_id))
    if person.stripe_id is not None:
        found.add(("stripe", person.stripe_id))
    return found


def _names_of(who: Buyer) -> set[tuple[str, str]]:
    found = {("email", who.email)} if who.email else set()
    if who.platform_id is not None:
        found.add(("stripe" if who.platform_id.startswith("cus_") else "shopify", who.platform_id))
    return found


# --- Taking in one event ------------------------------------------------------------------------


def _take(book: Book, told: Told, gate: Gate, listeners: Sequence[Listener], now: int) -> Steps[Outcome]:
    outcome = Outcome("applied")
    for fact in told.reading.facts:
        for person in _persons(fact):
            book.people.claim(person)
        match fact:
            case LookAgain(kind=kind, id=object_id):
                words = f"It says only that {kind} {object_id} changed; waiting for the event that says how."
                outcome = Outcome("waiting", words)
            case CustomersMerged(kept_id=kept_id, gone_id=gone_id):
                book.people.merges.append((kept_id, gone_id))
            case CustomerSeen(deleted=True):
                pass  # The points stay; who must not be mailed any more is told by consent and redaction.
            case CustomerSeen(buyer=who, joined_at=joined_at):
                # The person was taken in above.
                customer = book.people.resolve(who.platform_id, who.email, None) if joined_at is not None else None
                for listen in listeners if customer is not None else ():
                    yield from listen(book.shop.id, fact, customer, book.counters, now)
            case ConsentSeen():
                yield from keep_consents(book.shop.id, [fact])
            case ShopSeen() | Uninstalled() | ScopesSeen():
                yield from hear_of_shop(book.shop.id, told.envelope.source, told.connection, fact, now)
                if isinstance(fact, Uninstalled):
                    book.shop = (yield from shops([book.shop.id]))[book.shop.id]
                    # Sales told before this one event may have been sold after what it tells of.
                    yield from stir_sold_since(book.shop.id, min(fact.told_at, now), now)
            case PromotionSeen() | DiscountSeen():
                for listen in listeners:
                    yield from listen(book.shop.id, fact, None, book.counters, now)
            case PrivacyRequest():
                outcome = yield from gate.ask(told, fact, now)
            case DisputeSeen(dispute=dispute) if not naming(fact).strong:
                outcome = Outcome("waiting", f"Dispute {dispute.id} names no order or payment.")
            case _:
                outcome = outcome._replace(sale=_remember(book, fact, told, now))
    return outcome


def _remember(book: Book, fact: SaleFact, told: Told, now: int) -> int:
    """Put a fact into the sale it names, made or joined as need be; returns its number."""
    strong, weak = naming(fact)
    strong = _of_one_order(book, strong)
    named = {sale.number: sale for i in strong if (sale := book.by_name.get(i)) is not None}
    owner = book.by_name.get(weak) if weak is not None else None
    pays = any(i.kind in ("payment", "charge") for i in strong)
    if owner is not None and not (pays and _has_payment(owner)):
        # An invoice brings together what tells of one payment; two payments are never joined by it.
        named[owner.number] = owner
    sale = _survivor(book, named, now)
    sale.trace = told.trace
    sale.changed |= remember(sale.facts, fact)
    if isinstance(fact, OrderSeen | ChargeSeen | PaymentSeen):
        sale.home = fact.home or sale.home
    sale.changed |= mark(sale.facts, told.run, not named, told.envelope.received_at)
    for identity in strong:
        _name(book, identity, sale)
    if weak is not None:
        if owner is None or owner.number in named:
            _name(book, weak, sale)
        else:
            # The invoice belongs to another payment's sale too: told in both, it says nothing about either.
            link = InvoiceSeen(Invoice(id=weak.value, currency="", told_at=0, payment_ids=_payments_of(owner, sale)))
            owner.changed |= remember(owner.facts, link)
            book.touched[owner.number] = owner
            if weak.value in sale.facts.invoices:
                sale.changed |= remember(sale.facts, link)
    book.touched[sale.number] = sale
    return sale.number


def _of_one_order(book: Book, strong: Sequence[Identity]) -> tuple[Identity, ...]:
    """Leave out of what a fact names whatever is another order's: what it names first says which order it is of.

    A payment that two orders of the shop claim stays with the first that was told.
    """
    mine: str | None = None
    kept = []
    for identity in strong:
        sale = book.by_name.get(identity)
        order = identity.value if identity.kind == "order" else None if sale is None else order_of(sale.facts)
        if order is not None and mine is not None and order != mine:
            continue
        mine = mine or order
        kept.append(identity)
    return tuple(kept)


def _has_payment(sale: LoadedSale) -> bool:
    return bool(_payments_of(sale))


def _payments_of(*sales: LoadedSale) -> tuple[str, ...]:
    """Name the payments that sales are of: by payment intent, where one is known, else by charge."""
    named: set[str] = set()
    for facts in (sale.facts for sale in sales):
        named |= facts.payments.keys() | {c.payment_id or c.id for c in facts.charges.values()}
        named |= {s.payment_id for s in facts.sessions.values() if s.payment_id}
        # An invoice that was paid in several parts says nothing of which of them this is.
        named |= {i.payment_ids[0] for i in facts.invoices.values() if len(i.payment_ids) == 1}
    return tuple(sorted(named))


def _survivor(book: Book, named: dict[int, LoadedSale], now: int) -> LoadedSale:
    """Return the one sale for all that is named: the oldest, with the others merged into it, or a new one."""
    if not named:
        return LoadedSale(
            merchant_id=book.shop.id,
            number=book.counters.take_sale(),
            facts=SaleFacts(),
            created_at=now,
            changed=True,
        )
    oldest, *others = (named[number] for number in sorted(named))
    for other in others:
        absorb(oldest.facts, other.facts)
        oldest.absorbed = tuple(sorted({*oldest.absorbed, other.number, *other.absorbed}))
        oldest.changed = True
        other.merged_into = oldest.number
        other.changed = True
        book.touched[other.number] = other
        for earlier in book.touched.values():
            # What this batch joined into the other goes on with it: names and postings follow one step only.
            if earlier.merged_into == other.number:
                earlier.merged_into = oldest.number
        for identity, sale in book.by_name.items():
            if sale is other:
                book.by_name[identity] = oldest
    return oldest


def _name(book: Book, identity: Identity, sale: LoadedSale) -> None:
    if book.by_name.get(identity) is not sale:
        book.by_name[identity] = sale
        sale.new_names.append(identity)


# --- Closing: value, pair, settle, write --------------------------------------------------------


def _close(
    books: dict[int, Book],
    settlers: Sequence[Settler],
    followers: Sequence[Follower],
    ranker: Ranker | None,
    now: int,
) -> Steps[None]:
    everyone = [book.people for book in books.values()]
    yield from save_people(everyone)
    stirred = {(p.counters.merchant_id, owner) for p in everyone for owner in p.stirred}
    yield from stir_sales(stirred, now)
    moved = [move for p in everyone for move in p.moved]
    yield from save_books(book.counters for book in books.values())
    if moved:
        for follow in followers:
            yield from follow(moved, now)

    live: list[LoadedSale] = []
    gone: list[LoadedSale] = []
    yield from look_where_goods_lay(books, [sale for book in books.values() for sale in book.touched.values()])
    for book in books.values():
        for sale in book.touched.values():
            if sale.merged_into is not None:
                gone.append(sale)
            elif sale.changed or sale.due:
                _value(book, sale)
                live.append(sale)
    yield from _pair(books, live, gone, now)
    for sale in live:
        if sale.twin is not None and sale.facts.order is None:
            sale.worth = worth_nothing(sale.worth, "elsewhere")
    views = [view(books[sale.merchant_id].shop, sale) for sale in live]
    wakes, tiers = yield from settle_all(settlers, views, now, ranker)
    yield from forget_failures((sale.merchant_id, sale.number) for sale in gone)
    for sale in live:
        sale.settle_at = wakes.get((sale.merchant_id, sale.number))
        sale.tier = tiers.get((sale.merchant_id, sale.number), sale.tier)
    yield from save_sales([s for b in books.values() for s in b.touched.values() if s.changed or s.due])


def _pair(books: dict[int, Book], live: list[LoadedSale], gone: Sequence[LoadedSale], now: int) -> Steps[None]:
    """Match suspected twins, and draw those outside the batch into it: an award moves in one transaction."""
    known = {merchant_id: book.shop for merchant_id, book in books.items()}
    elsewhere = yield from pair_twins(known, live, gone)
    for _ in range(MOST_PAIRINGS):
        if not elsewhere:
            return
        live += yield from _drawn_in(books, elsewhere, now)
        elsewhere = yield from pair_twins(known, live, gone)
    # What is left by then is settled by the clock.
    yield from pair_later(elsewhere, now)


def _drawn_in(books: dict[int, Book], twins: Mapping[tuple[int, int], int | None], now: int) -> Steps[list[LoadedSale]]:
    """Load and value sales whose twin has changed, with the persons they name."""
    sales = {key: sale for key in twins if (sale := books[key[0]].touched.get(key[1])) is not None}
    loaded = yield from load_sales((key for key in twins if key not in sales), due=True)
    sales |= {(sale.merchant_id, sale.number): sale for sale in loaded}
    wanted: dict[int, set[tuple[str, str]]] = {}
    for sale in sales.values():
        wanted.setdefault(sale.merchant_id, set()).update(_names_of(buyer(sale.facts)[0]))
    people = yield from load_people(wanted, {m: books[m].counters for m in wanted}, now)
    yield from look_where_goods_lay(books, loaded)
    for key, sale in sales.items():
        book = books[sale.merchant_id]
        sale.twin, sale.due = twins[key], True
        _value(Book(book.shop, book.counters, people[sale.merchant_id]), sale)
        book.touched[sale.number] = sale
    return list(sales.values())


def _value(book: Book, sale: LoadedSale) -> None:
    who, _ = buyer(sale.facts)
    sale.worth, sale.version = valued(book.shop, sale.facts, sale.tier)
    if sale.facts.forgotten:
        # It stays with the number it was with; there is nobody to look for.
        return
    is_stripe = who.platform_id is not None and who.platform_id.startswith("cus_")
    customer = book.people.resolve(
        None if is_stripe else who.platform_id, who.email, who.platform_id if is_stripe else None
    )
    sale.email = who.email
    if customer != sale.customer:
        sale.customer, sale.changed = customer, True
    if sale.changed:
        sale.revision += 1


def view(shop: Shop, sale: LoadedSale) -> Sale:
    """Show a valued sale to the settlers."""
    sold_at = sale.worth.sold_at
    sold_under = None if sold_at is None else shop.version_at(sold_at)
    earns_under = shop.version(sale.version)
    return Sale(
        shop=shop,
        number=sale.number,
        absorbed=sale.absorbed,
        twin=sale.twin,
        facts=sale.facts,
        worth=sale.worth,
        version=sold_under,
        customer=sale.customer,
        created_at=sale.created_at,
        revision=sale.revision,
        awarded_under=earns_under if earns_under is not sold_under else None,
        quiet=is_quiet(sale.facts, sold_at),
        trace=sale.trace,
        tier=sale.tier,
        home=sale.home,
    )
