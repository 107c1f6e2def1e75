"""What a sale remembers: facts merged so that no order, repetition or batching of the telling matters."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeVar

import msgspec

from handlers.merchants.rules import Shop, Version
from integration.facts import (
    Buyer,
    Charge,
    ChargeSeen,
    Dispute,
    DisputeSeen,
    Fact,
    Fulfilment,
    FulfilmentSeen,
    Home,
    Invoice,
    InvoiceSeen,
    Order,
    OrderDeleted,
    OrderRefund,
    OrderSeen,
    Payment,
    PaymentSeen,
    RefundSeen,
    Session,
    SessionSeen,
    StripeRefund,
    StripeRefundSeen,
)

_MAX_REFUNDS = 500  # a sale with more is not a shop's order; later ones are left out by id order

_CHARGE_RANK = {"pending": 0, "failed": 1, "succeeded": 2}
_PAYMENT_RANK = {"canceled": 1, "processing": 2, "requires_capture": 3, "succeeded": 4}
_REFUND_RANK = {"pending": 0, "requires_action": 1, "succeeded": 2, "failed": 3, "canceled": 3}
# Settlement rules, section 1. An inquiry (`warning_…`) has no effect and ranks below a dispute proper.
_DISPUTE_RANK = {
    "warning_needs_response": 0,
    "warning_under_review": 0,
    "warning_closed": 0,
    "needs_response": 1,
    "under_review": 2,
    "lost": 3,
    "appeal_needs_response": 4,
    "appeal_under_review": 5,
    "won": 6,
}


class Imported(msgspec.Struct, frozen=True, omit_defaults=True):
    """That a backfill told of a sale; `run` 0 = what told of it was undone."""

    run: int
    version: int  # the programme what was sold before earning was switched on earns under
    first: bool = False  # no delivery had told of the sale before
    told_at: int | None = None  # the earliest delivery since, where the backfill was first


class SaleFacts(msgspec.Struct, omit_defaults=True):
    """Everything told about one sale, merged; equal for any order and repetition of the telling."""

    order: Order | None = None
    order_deleted: bool = False
    refunds: dict[str, OrderRefund] = {}  # Shopify refunds by id, those inside `order` too
    fulfilments: dict[str, Fulfilment] = {}
    charges: dict[str, Charge] = {}
    payments: dict[str, Payment] = {}
    sessions: dict[str, Session] = {}
    invoices: dict[str, Invoice] = {}
    stripe_refunds: dict[str, StripeRefund] = {}
    disputes: dict[str, Dispute] = {}
    imported: Imported | None = None
    forgotten: bool = False  # its buyer was forgotten: it names nobody any more, and stays with the number it had


class Bonus(msgspec.Struct, frozen=True):
    """What of a sale's goods earns more, and by which campaign (its id in the programme it earns under)."""

    campaign: str
    minor: int  # of Worth.parts_minor


class Worth(msgspec.Struct, frozen=True):
    """What of a sale counts, in minor units of `currency`, and why not more.

    `standing` is one word: `counted`, `waiting_for_order`, `waiting_for_payment`, `unpaid`, `authorized`,
    `partially_paid`, `cancelled`, `voided`, `deleted`, `uncaptured`, `elsewhere` (the Shopify twin is the sale
    that is paid), `undone` (only a backfill told of it, and that was taken back), `disconnected` (sold after its
    platform was disconnected).
    """

    standing: str
    currency: str | None = None
    sold_at: int | None = None
    paid_minor: int = 0  # paid at purchase, with everything
    net_minor: int = 0  # paid and not given back
    goods_minor: int = 0  # merchandise at purchase, before any refund: what a full refund takes back
    eligible_minor: int = 0  # what earns under include_tax / include_shipping, before disputes
    disputed_minor: int = 0  # share of eligible_minor under an open dispute
    lost_minor: int = 0  # share of eligible_minor lost to a dispute
    parts_minor: int = 0  # eligible_minor before what was given back beyond its lines, which is every part's
    bonuses: tuple[Bonus, ...] = ()
    test: bool = False
    why: tuple[str, ...] = ()


class Sale(msgspec.Struct, frozen=True):
    """One sale as every settler sees it."""

    shop: Shop
    number: int
    absorbed: tuple[int, ...]  # sales merged into this one: their postings and messages count as its own
    twin: int | None  # number of the suspected same sale on the other platform
    facts: SaleFacts
    worth: Worth
    version: Version | None  # the programme it was sold under
    customer: int | None  # resolved through merges; None = unclaimed
    created_at: int
    revision: int
    awarded_under: Version | None = None  # where a backfill awards what was sold before earning was switched on
    quiet: bool = False  # a backfill told of it first: nobody gets mail about it
    trace: str | None = None  # of the event that told of it now; its messages carry it on
    home: Home | None = None  # where it goes, where an event told of that now; sales keep no addresses
    tier: str | None = None  # its customer's when it was made

    @property
    def earns_under(self) -> Version | None:
        """The programme whose earning rules hold: mostly the one it was sold under."""
        return self.awarded_under or self.version


class Identity(NamedTuple):
    """What names a sale, within a merchant."""

    platform: str
    kind: Literal["order", "refund", "charge", "payment", "session", "invoice", "dispute"]
    value: str


class Naming(NamedTuple):
    """What a fact names: strong identities join sales; a weak one (an invoice) never joins two payments.

    Two orders of the shop are two sales, whatever names both.
    """

    strong: tuple[Identity, ...]
    weak: Identity | None = None


SaleFact = (
    OrderSeen
    | OrderDeleted
    | RefundSeen
    | FulfilmentSeen
    | ChargeSeen
    | PaymentSeen
    | SessionSeen
    | InvoiceSeen
    | StripeRefundSeen
    | DisputeSeen
)
SALE_FACTS = SaleFact.__args__


def naming(fact: SaleFact) -> Naming:
    """List what a fact names, strongest meaning first."""
    match fact:
        case OrderSeen(order=order):
            return Naming((_order(order.id), *(_stripe_payment(i) for i in order.payment_ids)))
        case OrderDeleted(order_id=order_id) | FulfilmentSeen(order_id=order_id):
            return Naming((_order(order_id),))
        case RefundSeen(order_id=order_id, refund=refund):
            return Naming((_order(order_id), Identity("shopify", "refund", refund.id)))
        case ChargeSeen(charge=charge):
            return Naming(
                (Identity("stripe", "charge", charge.id), *_payments(charge.payment_id), *_orders(charge)),
                _invoice(charge.invoice_id),
            )
        case PaymentSeen(payment=payment):
            return Naming(
                (Identity("stripe", "payment", payment.id), *_charges(payment.charge_id), *_orders(payment)),
                _invoice(payment.invoice_id),
            )
        case SessionSeen(session=session):
            return Naming(
                (
                    Identity("stripe", "session", session.id),
                    *_payments(session.payment_id),
                    *_orders(session),
                ),
                _invoice(session.invoice_id),
            )
        case InvoiceSeen(invoice=invoice):
            one = invoice.payment_ids if len(invoice.payment_ids) == 1 else ()
            strong = (*(Identity("stripe", "payment", i) for i in one), *_charges(invoice.charge_id))
            return Naming(strong, _invoice(invoice.id))
        case StripeRefundSeen(refund=refund):
            return Naming(
                (
                    Identity("stripe", "refund", refund.id),
                    *_payments(refund.payment_id),
                    *_charges(refund.charge_id),
                )
            )
        case DisputeSeen(dispute=dispute):
            if dispute.order_id is not None:
                return Naming((_order(dispute.order_id), Identity("shopify", "dispute", dispute.id)))
            return Naming(
                (
                    Identity("stripe", "dispute", dispute.id),
                    *_payments(dispute.payment_id),
                    *_charges(dispute.charge_id),
                )
            )


def _order(order_id: str) -> Identity:
    return Identity("shopify", "order", order_id)


def _stripe_payment(named: str) -> Identity:
    return Identity("stripe", "charge" if named.startswith(("ch_", "py_")) else "payment", named)


def _payments(payment_id: str | None) -> tuple[Identity, ...]:
    return () if payment_id is None else (Identity("stripe", "payment", payment_id),)


def _charges(charge_id: str | None) -> tuple[Identity, ...]:
    return () if charge_id is None else (Identity("stripe", "charge", charge_id),)


def _orders(told: Charge | Payment | Session) -> Iterator[Identity]:
    """Name the order a payment is for: of several, the first, since it is one purchase's money."""
    return (_order(order_id) for order_id in told.order_ids[:1])


def _invoice(invoice_id: str | None) -> Identity | None:
    return None if invoice_id is None else Identity("stripe", "invoice", invoice_id)


def remember(facts: SaleFacts, fact: SaleFact) -> bool:
    """Merge one fact in place (settlement rules, section 1); tell whether anything changed."""
    match fact:
        case OrderSeen(order=order):
            changed = _keep_order(facts, order)
            for refund in order.refunds:
                changed |= _keep_refund(facts, refund)
            for fulfilment in order.fulfilments:
                changed |= _keep(facts.fulfilments, fulfilment, _merge_fulfilments)
            return changed
        case OrderDeleted():
            changed, facts.order_deleted = not facts.order_deleted, True
            return changed
        case RefundSeen(refund=refund):
            return _keep_refund(facts, refund)
        case FulfilmentSeen(fulfilment=fulfilment):
            return _keep(facts.fulfilments, fulfilment, _merge_fulfilments)
        case ChargeSeen(charge=charge, refunds=refunds):
            changed = _keep(facts.charges, charge, _merge_charges)
            for given_back in refunds:
                changed |= _keep(facts.stripe_refunds, given_back, _merge_stripe_refunds)
            return changed
        case PaymentSeen(payment=payment):
            return _keep(facts.payments, payment, _merge_payments)
        case SessionSeen(session=session):
            return _keep(facts.sessions, session, _merge_sessions)
        case InvoiceSeen(invoice=invoice):
            return _keep(facts.invoices, invoice, _merge_invoices)
        case StripeRefundSeen(refund=given_back):
            return _keep(facts.stripe_refunds, given_back, _merge_stripe_refunds)
        case DisputeSeen(dispute=dispute):
            # An unknown status keeps the previous effect: it is not remembered at all.
            return is_known(dispute) and _keep(facts.disputes, dispute, _merge_disputes)


def absorb(facts: SaleFacts, other: SaleFacts) -> None:
    """Merge all that another sale remembers into this one; the two are the same sale."""
    if other.order is not None:
        _keep_order(facts, other.order)
    facts.order_deleted |= other.order_deleted
    for refund in other.refunds.values():
        _keep_refund(facts, refund)
    for fulfilment in other.fulfilments.values():
        _keep(facts.fulfilments, fulfilment, _merge_fulfilments)
    for charge in other.charges.values():
        _keep(facts.charges, charge, _merge_charges)
    for payment in other.payments.values():
        _keep(facts.payments, payment, _merge_payments)
    for session in other.sessions.values():
        _keep(facts.sessions, session, _merge_sessions)
    for invoice in other.invoices.values():
        _keep(facts.invoices, invoice, _merge_invoices)
    for given_back in other.stripe_refunds.values():
        _keep(facts.stripe_refunds, given_back, _merge_stripe_refunds)
    for dispute in other.disputes.values():
        _keep(facts.disputes, dispute, _merge_disputes)
    facts.imported = _join_imports(facts.imported, other.imported)


def _join_imports(one: Imported | None, other: Imported | None) -> Imported | None:
    """Join the notes of two sales that are one: a backfill was first only where it was first to tell of both."""
    if one is None or other is None:
        mine = one or other
        return mine and Imported(mine.run, mine.version)
    newest = max(one, other, key=lambda i: (i.run, i.version))
    told = [i.told_at for i in (one, other) if i.told_at is not None]
    return Imported(newest.run, newest.version, one.first and other.first, min(told, default=None))


def is_known(dispute: Dispute) -> bool:
    """Tell whether a dispute's status has a meaning here; new words of a platform have none until added."""
    return dispute.status in _DISPUTE_RANK


_Named = TypeVar("_Named", Fulfilment, Charge, Payment, Session, Invoice, StripeRefund, Dispute)


def _keep(kept: dict[str, _Named], told: _Named, merge) -> bool:  # type: ignore[no-untyped-def]
    before = kept.get(told.id)
    after = told if before is None else merge(before, told)
    if after == before:
        return False
    kept[told.id] = after
    return True


def _keep_order(facts: SaleFacts, order: Order) -> bool:
    # The body's own time is signed, so it decides; the header's time and the digest only settle ties.
    before = facts.order
    if before is not None and _stamp(before) >= _stamp(order):
        return False
    facts.order = order
    return True


def _stamp(order: Order) -> tuple[int, int, str]:
    return (order.updated_at, order.triggered_at, order.digest)


def _keep_refund(facts: SaleFacts, refund: OrderRefund) -> bool:
    before = facts.refunds.get(refund.id)
    if before is not None and (before.stamp, _text(before)) >= (refund.stamp, _text(refund)):
        return False
    if before is None and len(facts.refunds) >= _MAX_REFUNDS:
        return False
    facts.refunds[refund.id] = refund
    return True


def _text(value: msgspec.Struct) -> bytes:
    return msgspec.json.encode(value)


_T = TypeVar("_T", str, int)


def _either(one: _T | None, other: _T | None) -> _T | None:
    """Prefer what is there; between two words the greater, so that the order of telling does not matter."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _merge_buyers(one: Buyer, other: Buyer) -> Buyer:
    if one == other:
        return one
    return Buyer(
        platform_id=_either(one.platform_id, other.platform_id),
        email=_either(one.email, other.email),
        customer_email=_either(one.customer_email, other.customer_email),
        email_verified=one.email_verified if other.email_verified is None else other.email_verified,
        first_name=_either(one.first_name, other.first_name),
        last_name=_either(one.last_name, other.last_name),
        phone=_either(one.phone, other.phone),
        locale=_either(one.locale, other.locale),
    )


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return one if one == other else tuple(sorted({*one, *other}))


def _merge_fulfilments(one: Fulfilment, other: Fulfilment) -> Fulfilment:
    # A carrier's event carries no status of its own (empty); it only adds when the parcel arrived.
    newest = max(one, other, key=lambda f: (f.status != "", f.updated_at, _text(f)))
    return msgspec.structs.replace(
        newest,
        created_at=_least(one.created_at, other.created_at),
        delivered_at=_least(one.delivered_at, other.delivered_at),
        country=newest.country or _either(one.country, other.country),
    )


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _merge_charges(one: Charge, other: Charge) -> Charge:
    return msgspec.structs.replace(
        one,
        amount_minor=max(one.amount_minor, other.amount_minor),
        captured_minor=max(one.captured_minor, other.captured_minor),
        refunded_minor=max(one.refunded_minor, other.refunded_minor),
        captured=one.captured or other.captured,
        status=max(one.status, other.status, key=lambda s: (_CHARGE_RANK.get(s, -1), s)),
        created_at=min(one.created_at, other.created_at),
        livemode=one.livemode and other.livemode,
        payment_id=_either(one.payment_id, other.payment_id),
        invoice_id=_either(one.invoice_id, other.invoice_id),
        buyer=_merge_buyers(one.buyer, other.buyer),
        country=_either(one.country, other.country),
        region=_either(one.region, other.region),
        order_ids=_union(one.order_ids, other.order_ids),
    )


def _merge_payments(one: Payment, other: Payment) -> Payment:
    return msgspec.structs.replace(
        one,
        amount_minor=max(one.amount_minor, other.amount_minor),
        received_minor=max(one.received_minor, other.received_minor),
        status=max(one.status, other.status, key=lambda s: (_PAYMENT_RANK.get(s, 0), s)),
        created_at=min(one.created_at, other.created_at),
        charge_id=_either(one.charge_id, other.charge_id),
        invoice_id=_either(one.invoice_id, other.invoice_id),
        livemode=one.livemode and other.livemode,
        excluded_minor=max(one.excluded_minor, other.excluded_minor),
        tax_minor=max(one.tax_minor, other.tax_minor),
        shipping_minor=max(one.shipping_minor, other.shipping_minor),
        buyer=_merge_buyers(one.buyer, other.buyer),
        country=_either(one.country, other.country),
        order_ids=_union(one.order_ids, other.order_ids),
    )


def _merge_sessions(one: Session, other: Session) -> Session:
    newest = max(one, other, key=lambda s: (s.payment_status == "paid", s.told_at, _text(s)))
    return msgspec.structs.replace(
        newest,
        failed=one.failed or other.failed,
        payment_id=_either(one.payment_id, other.payment_id),
        invoice_id=_either(one.invoice_id, other.invoice_id),
        order_ids=_union(one.order_ids, other.order_ids),
        promotions=_union(one.promotions, other.promotions),
    )


def _merge_invoices(one: Invoice, other: Invoice) -> Invoice:
    # A bare link between an invoice and a payment carries no total; what does carry one wins.
    newest = max(one, other, key=lambda i: (i.total_minor > 0, i.told_at, _text(i)))
    return msgspec.structs.replace(
        newest,
        payment_ids=_union(one.payment_ids, other.payment_ids),
        charge_id=_either(one.charge_id, other.charge_id),
        livemode=one.livemode and other.livemode,
        paid_out_of_band=one.paid_out_of_band or other.paid_out_of_band,
    )


def _merge_stripe_refunds(one: StripeRefund, other: StripeRefund) -> StripeRefund:
    highest = max(one, other, key=lambda r: (_REFUND_RANK.get(r.status, 0), r.amount_minor, r.status))
    return msgspec.structs.replace(
        highest,
        charge_id=_either(one.charge_id, other.charge_id),
        payment_id=_either(one.payment_id, other.payment_id),
        created_at=_least(one.created_at, other.created_at),
    )


def _merge_disputes(one: Dispute, other: Dispute) -> Dispute:
    newest = max(one, other, key=lambda d: (d.told_at, _DISPUTE_RANK[d.status], _text(d)))
    return msgspec.structs.replace(
        newest,
        charge_id=_either(one.charge_id, other.charge_id),
        payment_id=_either(one.payment_id, other.payment_id),
        order_id=_either(one.order_id, other.order_id),
    )


def order_of(facts: SaleFacts) -> str | None:
    """Say which of the shop's orders a sale is, as far as its facts tell."""
    if facts.order is not None:
        return facts.order.id
    told: tuple[Charge | Payment | Session, ...] = (
        *facts.charges.values(),
        *facts.payments.values(),
        *facts.sessions.values(),
    )
    return min((one.order_ids[0] for one in told if one.order_ids), default=None)


def of_sale(fact: Fact) -> bool:
    """Tell whether a fact is about a sale (others are about people or the connection)."""
    return isinstance(fact, SALE_FACTS)
