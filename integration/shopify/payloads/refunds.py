"""Read refunds: alone under refunds/create, and inside orders."""

import msgspec

from integration.bodies import decode
from integration.errors import Suspect, Unreadable
from integration.facts import Envelope, OrderRefund, Reading, RefundLine, RefundSeen
from integration.shopify.values import (
    Amount,
    Id,
    MoneySet,
    currency_of,
    id_of,
    insist_on_kind,
    instant_of,
    minor_of,
    named_id,
    quantity_of,
    word_of,
)

MOST_REFUND_LINES = 10_000


class RefundLineBody(msgspec.Struct, gc=False):
    line_item_id: Id = None
    quantity: int | None = None
    subtotal: Amount = None
    subtotal_set: MoneySet | None = None
    total_tax: Amount = None
    total_tax_set: MoneySet | None = None


class AdjustmentBody(msgspec.Struct, gc=False):
    kind: str | None = None
    reason: str | None = None
    amount: Amount = None
    amount_set: MoneySet | None = None


class RefundShippingBody(msgspec.Struct, gc=False):
    subtotal_amount_set: MoneySet | None = None


class TransactionBody(msgspec.Struct, gc=False):
    kind: str | None = None
    status: str | None = None
    amount: Amount = None
    amount_set: MoneySet | None = None
    currency: str | None = None


class RefundBody(msgspec.Struct, gc=False):
    id: Id = None
    admin_graphql_api_id: str | None = None
    order_id: Id = None
    created_at: str | None = None
    processed_at: str | None = None
    refund_line_items: list[RefundLineBody] | None = None
    order_adjustments: list[AdjustmentBody] | None = None
    refund_shipping_lines: list[RefundShippingBody] | None = None
    transactions: list[TransactionBody] | None = None
    total_duties_set: MoneySet | None = None


_refund = msgspec.json.Decoder(RefundBody)


def read_refund(body: bytes, envelope: Envelope) -> Reading:
    """Read refunds/create, stamped with its own creation. Raises Unreadable, or Suspect for other shapes."""
    seen = decode(_refund, body)
    if seen.order_id is None or (seen.refund_line_items is None and seen.order_adjustments is None):
        raise Suspect("the body is not a refund")
    insist_on_kind(seen.admin_graphql_api_id, "Refund")
    stamp = instant_of(seen.created_at)
    if stamp is None:
        stamp = instant_of(seen.processed_at)
    if stamp is None:
        raise Unreadable("the refund does not tell when it was made")
    refund = refund_from(seen, stamp, _currency_within(seen))
    return Reading((RefundSeen(named_id(seen.order_id, "the refunded order"), refund),))


def refund_from(seen: RefundBody, stamp: int, currency: str) -> OrderRefund:
    """Turn a refund as Shopify shows it into ours, in minor units of the shop's `currency`."""
    if len(seen.refund_line_items or ()) > MOST_REFUND_LINES:
        raise Unreadable(f"a refund has more than {MOST_REFUND_LINES} lines")
    discrepancy = shipping_adjusted = 0
    for adjustment in seen.order_adjustments or ():
        amount = minor_of(adjustment.amount_set, adjustment.amount, currency)
        # Positive discrepancies and shipping adjustments take nothing from the goods (settlement rules, 2).
        if adjustment.kind == "shipping_refund":
            shipping_adjusted -= amount
        elif adjustment.kind == "refund_discrepancy" and amount < 0:
            discrepancy -= amount
    shipping = sum([minor_of(line.subtotal_amount_set, None, currency) for line in seen.refund_shipping_lines or ()])
    money = sum([_money(transaction, currency) for transaction in seen.transactions or ()])
    return OrderRefund(
        id=named_id(seen.id, "the refund"),
        stamp=stamp,
        lines=tuple(
            [
                RefundLine(
                    line_id=line_id,
                    quantity=quantity_of(line.quantity),
                    subtotal_minor=minor_of(line.subtotal_set, line.subtotal, currency),
                    tax_minor=minor_of(line.total_tax_set, line.total_tax, currency),
                )
                for line in seen.refund_line_items or ()
                if (line_id := id_of(line.line_item_id))
            ]
        ),
        discrepancy_minor=discrepancy,
        shipping_minor=shipping or max(0, shipping_adjusted),
        money_minor=money,
        only_money=money > 0 and not (seen.refund_line_items or seen.order_adjustments or seen.refund_shipping_lines),
        created_at=instant_of(seen.created_at),
    )


def _money(transaction: TransactionBody, currency: str) -> int:
    if word_of(transaction.kind) != "refund" or word_of(transaction.status) != "success":
        return 0
    if transaction.amount_set is None and transaction.currency and transaction.currency.upper() != currency:
        # Presentment money without the shop's: no honest figure; the order that follows tells it in lines.
        return 0
    return minor_of(transaction.amount_set, transaction.amount, currency)


def _currency_within(seen: RefundBody) -> str:
    """Return the shop's currency by the refund's own shop money; a refund alone names it nowhere else."""
    sets = [
        seen.total_duties_set,
        *[line.subtotal_set for line in (seen.refund_line_items or ())[:1]],
        *[adjustment.amount_set for adjustment in (seen.order_adjustments or ())[:1]],
        *[line.subtotal_amount_set for line in (seen.refund_shipping_lines or ())[:1]],
        *[transaction.amount_set for transaction in (seen.transactions or ())[:1]],
    ]
    for pair in sets:
        if pair is not None and pair.shop_money is not None and pair.shop_money.currency_code:
            return currency_of(pair.shop_money.currency_code)
    for transaction in seen.transactions or ():
        if transaction.currency:
            return currency_of(transaction.currency)
    return "XXX"  # no money in it at all, or bare figures: hundredths, as of nearly every currency
