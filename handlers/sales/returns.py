"""What of a sale counted when: what was given back, counted from the day on which it was; pure."""

from handlers.merchants.rules import Earning
from handlers.sales.rules import Sale, SaleFacts
from handlers.sales.worth import TAX_SIGN, was_paid
from integration.facts import Order

Steps = tuple[tuple[int, int], ...]
"""(Instant, minor units that count from then on), in order; the amounts only fall."""


def counted_since(sale: Sale, began_at: int) -> Steps:
    """Say what of a sale's eligible money counted from an instant on, until now, as goods and money went back.

    What went back before then never counted, and what nobody said when it went back did not either. An order that was
    paid and cancelled later counted until it was cancelled.
    """
    worth, earning = sale.worth, sale.earns_under.program.earning if sale.earns_under is not None else Earning()
    cancelled = worth.standing == "cancelled" and was_paid(sale.facts, worth.standing)
    if worth.standing != "counted" and not cancelled:
        return ((began_at, 0),)
    value = max(0, worth.eligible_minor - worth.lost_minor - worth.disputed_minor)
    whole = max(worth.goods_minor, value)
    back = _given_back(sale.facts, earning)
    if worth.lost_minor or worth.disputed_minor:
        told = [each.told_at for each in sale.facts.disputes.values() if not each.status.startswith("warning")]
        back.append((min(told, default=began_at), worth.lost_minor + worth.disputed_minor))
    order = sale.facts.order
    if cancelled and order is not None and order.cancelled_at is not None:
        back.append((order.cancelled_at, max(0, whole - sum(minor for _, minor in back))))
    steps: list[tuple[int, int]] = []
    for at, minor in sorted(back, reverse=True):
        if at <= began_at:
            break
        if minor and (not steps or steps[-1][0] != at):
            steps.append((at, value))
        value = min(whole, value + minor)
    return ((began_at, value), *reversed(steps))


def _given_back(facts: SaleFacts, earning: Earning) -> list[tuple[int, int]]:
    """List when how much of what earns was given back, as far as that was told."""
    if facts.order is None:
        return [
            (each.created_at, each.amount_minor)
            for each in facts.stripe_refunds.values()
            if each.created_at is not None and each.status not in ("failed", "canceled")
        ]
    earns, sign = _earning_lines(facts.order, earning), TAX_SIGN[facts.order.taxes_included, earning.include_tax]
    found = []
    for refund in facts.refunds.values():
        goods = sum(part.subtotal_minor + sign * part.tax_minor for part in refund.lines if part.line_id in earns)
        beyond = refund.money_minor if refund.only_money else refund.discrepancy_minor
        found.append((refund.created_at or refund.stamp, goods + beyond))
    return found


def _earning_lines(order: Order, earning: Earning) -> set[str]:
    return {
        line.id
        for line in order.lines
        if not line.gift_card and not line.gratuity and line.product_id not in earning.exclude_products
    }
