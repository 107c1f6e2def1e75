"""What of a sale counts: a pure function from merged facts to money (settlement rules, section 2)."""

from types import MappingProxyType

import msgspec

from handlers.merchants.rules import Earning, Shop, Stays
from handlers.sales.bonus import NO_TIER, Held, bonuses, held_under, running
from handlers.sales.history import earning_version, is_undone, undone
from handlers.sales.rules import SaleFacts, Worth
from integration.facts import Buyer, Charge, Order, OrderLine, OrderRefund, Payment

EARNING_STATUSES = frozenset({"paid", "partially_refunded", "refunded"})
_STANDING_OF_STATUS = {
    "authorized": "authorized",
    "partially_paid": "partially_paid",
    "voided": "voided",
    "expired": "voided",
}
_WHY_NOT = {
    "authorized": "The payment is authorised but not captured yet.",
    "partially_paid": "The order is only partly paid.",
    "voided": "The payment was voided or expired.",
    "unpaid": "The order is not paid yet.",
}
_NO_EARNING = Earning()
_NOWHERE: Stays = MappingProxyType({})
_OPEN = frozenset({"needs_response", "under_review"})
_LOST = frozenset({"lost", "appeal_needs_response", "appeal_under_review"})


def worth(facts: SaleFacts, earning: Earning, held: Held = NO_TIER, stays: Stays = _NOWHERE) -> Worth:
    """Value a sale's merged facts under one programme's earning rules; Shopify's word on money goes first."""
    if facts.order is not None:
        return _order_worth(facts, facts.order, earning, held, stays)
    if facts.order_deleted:
        return Worth(standing="deleted", why=("The order was deleted in the shop.",))
    charges = [c for c in facts.charges.values() if c.status == "succeeded"]
    if charges or any(p.status == "succeeded" for p in facts.payments.values()):
        return _payment_worth(facts, charges, earning, held)
    if facts.charges or facts.payments or facts.sessions or facts.invoices or facts.stripe_refunds:
        return _awaited_payment(facts)
    return Worth(
        standing="waiting_for_order",
        why=("Something about this order has arrived, but the order itself has not.",),
    )


# --- Shopify ------------------------------------------------------------------------------------


def _order_worth(facts: SaleFacts, order: Order, earning: Earning, held: Held, stays: Stays) -> Worth:
    why: list[str] = []
    tax_sign = TAX_SIGN[order.taxes_included, earning.include_tax]
    counted = [line for line in order.lines if _counts(line, earning, why)]
    goods = sum(_line_minor(line, line.quantity, tax_sign) for line in counted)

    # Refunds the order's newest picture does not hold yet take back lines at the order's own prices, so that
    # the end is the same once it does hold them.
    inside = {refund.id for refund in order.refunds}
    refunds = facts.refunds.values()
    taken: dict[str, int] = {}
    eligible = -sum(_beyond_lines(refund) for refund in refunds)
    known_lines = {line.id for line in order.lines}
    for refund in refunds:
        if refund.id not in inside:
            for part in refund.lines:
                taken[part.line_id] = taken.get(part.line_id, 0) + part.quantity
                if part.line_id not in known_lines:
                    eligible -= part.subtotal_minor + tax_sign * part.tax_minor
    parts: list[tuple[str | None, int]] = [
        (line.product_id, _line_minor(line, line.current_quantity - taken.get(line.id, 0), tax_sign))
        for line in counted
    ]
    if earning.include_shipping:
        shipping = order.shipping_minor + (
            order.shipping_tax_minor * TAX_SIGN[order.taxes_included, earning.include_tax]
        )
        goods += shipping
        parts.append((None, max(0, shipping - sum(refund.shipping_minor for refund in refunds))))
    parts_minor = sum(minor for _, minor in parts)
    eligible = max(0, eligible + parts_minor)

    if _excluded_by(order, earning, why):
        goods = eligible = 0
    standing = _order_standing(facts, order, why)
    if standing != "counted":
        eligible = 0
    given_back = sum(refund.money_minor for refund in refunds)
    net = 0 if standing != "counted" or order.financial_status == "refunded" else order.total_minor - given_back
    disputed, lost = _dispute_shares(facts, order.currency, eligible)
    sold_at = order_sold_at(order)
    campaigns = running(earning, sold_at, order.tags, order.source_name, held) if eligible else []
    return Worth(
        standing=standing,
        currency=order.currency,
        sold_at=sold_at,
        paid_minor=order.total_minor,
        net_minor=max(0, net),
        goods_minor=goods,
        eligible_minor=eligible,
        disputed_minor=disputed,
        lost_minor=lost,
        parts_minor=parts_minor,
        bonuses=bonuses(campaigns, parts, sold_at, stays),
        test=order.test,
        why=tuple(why),
    )


def order_sold_at(order: Order) -> int:
    """Say when an order was made."""
    return order.processed_at or order.created_at or order.updated_at


def _counts(line: OrderLine, earning: Earning, why: list[str]) -> bool:
    if line.gift_card:
        why.append(f"“{line.title}” is a gift card: it earns when it is spent, not when it is bought.")
        return False
    if line.gratuity:
        why.append(f"“{line.title}” is a tip or a donation and earns nothing.")
        return False
    if line.product_id is not None and line.product_id in earning.exclude_products:
        why.append(f"“{line.title}” is excluded from earning by the programme.")
        return False
    return True


def _line_minor(line: OrderLine, quantity: int, tax_sign: int) -> int:
    """Money of `quantity` units of a line after its share of discounts, with or without tax; half up."""
    if quantity <= 0 or line.quantity <= 0:
        return 0
    whole = line.price_minor * line.quantity - line.discount_minor + tax_sign * line.tax_minor
    return max(0, whole if quantity == line.quantity else _share(whole, quantity, line.quantity))


# (prices include tax, tax earns) -> what to do with a line's tax to get what earns.
TAX_SIGN = {(True, False): -1, (True, True): 0, (False, False): 0, (False, True): 1}


def _share(amount: int, part: int, whole: int) -> int:
    """`amount × part / whole`, rounded half up."""
    return (2 * amount * part + whole) // (2 * whole)


def _beyond_lines(refund: OrderRefund) -> int:
    """What a refund gave back beyond its lines: Shopify's negative discrepancy, or money and nothing else."""
    return refund.money_minor if refund.only_money else refund.discrepancy_minor


def _excluded_by(order: Order, earning: Earning, why: list[str]) -> bool:
    tags = {tag.casefold() for tag in earning.exclude_tags}
    for tag in order.tags:
        if tag.casefold() in tags:
            why.append(f"Orders tagged “{tag}” are excluded from earning by the programme.")
            return True
    if order.source_name and order.source_name.casefold() in {each.casefold() for each in earning.exclude_channels}:
        why.append(f"Orders from “{order.source_name}” are excluded from earning by the programme.")
        return True
    return False


def was_paid(facts: SaleFacts, standing: str) -> bool:
    """Tell whether money was taken for a sale, even where it was called off since; nobody's purchase was not."""
    if standing in ("cancelled", "deleted"):
        return facts.order is not None and facts.order.financial_status in EARNING_STATUSES
    return standing == "counted"


def _order_standing(facts: SaleFacts, order: Order, why: list[str]) -> str:
    if facts.order_deleted:
        why.append("The order was deleted in the shop.")
        return "deleted"
    if order.cancelled_at is not None:
        why.append("The order was cancelled.")
        return "cancelled"
    if order.financial_status in EARNING_STATUSES:
        return "counted"
    standing = _STANDING_OF_STATUS.get(order.financial_status or "", "unpaid")
    why.append(_WHY_NOT[standing])
    return standing


# --- Stripe -------------------------------------------------------------------------------------


def _payment_worth(facts: SaleFacts, charges: list[Charge], earning: Earning, held: Held) -> Worth:
    first: Charge | Payment
    if charges:
        first = min(charges, key=lambda c: (c.created_at, c.id))
        amount = sum(c.amount_minor for c in charges)
        captured = sum(c.captured_minor for c in charges if c.captured)
        refunded_at_most = sum(c.refunded_minor for c in charges)
        is_captured = any(c.captured for c in charges)
        test = not all(c.livemode for c in charges)
    else:
        paid = [p for p in facts.payments.values() if p.status == "succeeded"]
        first = min(paid, key=lambda p: (p.created_at, p.id))
        amount = sum(p.amount_minor for p in paid)
        captured = sum(p.received_minor for p in paid)
        refunded_at_most = 0
        is_captured = True
        test = not all(p.livemode for p in paid)

    refunds = facts.stripe_refunds.values()
    failed = sum(r.amount_minor for r in refunds if r.status in ("failed", "canceled"))
    returned = sum(r.amount_minor for r in refunds) - failed
    net = max(0, min(captured - returned, amount - (refunded_at_most - failed))) if is_captured else 0

    why: list[str] = []
    if not is_captured:
        why.append("The payment is authorised but not captured yet.")
    part, whole = _earning_part(facts, captured, earning, why)
    eligible = _share(net, part, whole)
    disputed_net, lost_net = _dispute_shares(facts, first.currency, net)
    lost = _share(lost_net, part, whole)
    return Worth(
        standing="counted" if is_captured else "uncaptured",
        currency=first.currency,
        sold_at=first.created_at,
        paid_minor=captured if is_captured else amount,
        net_minor=net,
        goods_minor=_share(captured, part, whole),
        eligible_minor=eligible,
        disputed_minor=min(_share(disputed_net, part, whole), eligible - lost),
        lost_minor=lost,
        parts_minor=eligible,
        bonuses=bonuses(running(earning, first.created_at, held=held), [(None, eligible)]),
        test=test,
        why=tuple(why),
    )


def _earning_part(facts: SaleFacts, captured: int, earning: Earning, why: list[str]) -> tuple[int, int]:
    """What part of the money earns, as a fraction: all but tax, shipping and tips, where something tells them."""
    told = [s for s in facts.sessions.values() if s.total_minor > 0]
    session = max(told, key=lambda s: (s.told_at, s.id)) if told else None
    payments = [p for p in facts.payments.values() if p.excluded_minor > 0]
    # An invoice paid with several payments says nothing about any one of them.
    invoices = [i for i in facts.invoices.values() if i.total_minor > 0 and len(i.payment_ids) <= 1]
    if session is not None and (session.tax_minor or session.shipping_minor or not payments):
        total, tax, shipping, tip = session.total_minor, session.tax_minor, session.shipping_minor, 0
    elif payments:
        payment = max(payments, key=lambda p: p.id)
        total, tax, shipping = payment.amount_minor, payment.tax_minor, payment.shipping_minor
        tip = payment.excluded_minor - tax - shipping
    elif invoices:
        invoice = max(invoices, key=lambda i: (i.told_at, i.id))
        total, tax, shipping, tip = invoice.total_minor, invoice.tax_minor, 0, 0
    else:
        return 1, 1
    excluded = tip + (0 if earning.include_tax else tax) + (0 if earning.include_shipping else shipping)
    if total <= 0 or excluded <= 0:
        return 1, 1
    why.append("Tax, shipping and tips in the payment do not earn.")
    return max(0, total - excluded), total


def _awaited_payment(facts: SaleFacts) -> Worth:
    # Of several checkouts for one thing, the latest to be opened says how it stands.
    session = max(facts.sessions.values(), key=lambda s: (s.created_at, s.id), default=None)
    if session is not None and session.failed:
        return Worth(standing="voided", why=("The payment failed or its checkout expired.",))
    if session is not None and session.payment_status == "no_payment_required":
        return Worth(standing="unpaid", why=("The checkout needed no payment.",))
    if any(c.status == "failed" for c in facts.charges.values()):
        return Worth(standing="unpaid", why=("The payment failed.",))
    if any(invoice.paid_out_of_band for invoice in facts.invoices.values()):
        return Worth(standing="unpaid", why=("The invoice was settled outside Stripe.",))
    return Worth(standing="waiting_for_payment", why=("The payment itself has not arrived or succeeded yet.",))


# --- Both ---------------------------------------------------------------------------------------


def _dispute_shares(facts: SaleFacts, currency: str, net: int) -> tuple[int, int]:
    """Split `net` into what is under an open dispute and what is lost to one (settlement rules, section 2)."""

    def share(statuses: frozenset[str]) -> int:
        return sum(
            d.amount_minor if d.currency == currency and d.amount_minor > 0 else net
            for d in facts.disputes.values()
            if d.status in statuses
        )

    lost = min(share(_LOST), net)
    return min(share(_OPEN), net - lost), lost


def buyer(facts: SaleFacts) -> tuple[Buyer, int]:
    """Say who bought, as the platforms tell it, and when that was told (the order's time, else the payment's).

    Shopify's buyer goes first. For Stripe, each part comes from the session, else the charge, else the payment
    intent, else the invoice.
    """
    told: list[Buyer] = []
    at = 0
    if facts.order is not None:
        told.append(facts.order.buyer)
        at = facts.order.updated_at
    else:
        for session in sorted(facts.sessions.values(), key=lambda s: (-s.told_at, s.id)):
            told.append(session.buyer)
            at = max(at, session.created_at)
        for charge in sorted(facts.charges.values(), key=lambda c: (c.status != "succeeded", c.id)):
            told.append(charge.buyer)
            at = max(at, charge.created_at)
        for _, payment in sorted(facts.payments.items()):
            told.append(payment.buyer)
            at = max(at, payment.created_at)
        told += [i.buyer for _, i in sorted(facts.invoices.items()) if len(i.payment_ids) <= 1]
    if not told:
        return Buyer(), at
    if len(told) == 1:
        return told[0], at

    def first(name: str) -> str | None:
        return next((value for b in told if (value := getattr(b, name))), None)

    return (
        Buyer(
            platform_id=first("platform_id"),
            email=first("email"),
            first_name=first("first_name"),
            last_name=first("last_name"),
            phone=first("phone"),
            locale=first("locale"),
        ),
        at,
    )


# --- Of one shop --------------------------------------------------------------------------------


def valued(shop: Shop, facts: SaleFacts, tier: str | None = None) -> tuple[Worth, int | None]:
    """Value facts under the programme they earn under; return that version's number too.

    `tier` is the one its customer held when it was made. What was sold after its platform was disconnected counts for
    nothing, for no capability.
    """
    value = worth(facts, _NO_EARNING)
    if is_undone(facts):
        return undone(value), None
    number = None if value.sold_at is None else earning_version(shop, facts, value.sold_at)
    version = shop.version(number)
    if version is not None and version.program.earning != _NO_EARNING:
        value = worth(facts, version.program.earning, held_under(version.program, tier), shop.stays)
    closed_at = shop.closed.get("shopify" if facts.order is not None else "stripe")
    if closed_at is not None and value.sold_at is not None and value.sold_at > closed_at:
        value = worth_nothing(value, "disconnected")
    return value, number


def worth_nothing(value: Worth, standing: str) -> Worth:
    """Make a sale worth nothing for a reason beside its facts: its Shopify twin is paid, its platform had left."""
    return msgspec.structs.replace(
        value, standing=standing, eligible_minor=0, disputed_minor=0, lost_minor=0, bonuses=()
    )
