"""How many points a sale should be worth, where they stand, and how to get there: pure arithmetic."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

from handlers.merchants.rules import Earning
from handlers.sales.bonus import NO_TIER, Held, held_under, per_unit
from handlers.sales.rules import Bonus, Sale, Worth
from integration.clock import DAY, to_datetime
from integration.money import exponent, to_decimal

MICRO = 1_000_000
ISSUED = "program:issued"
EXPIRED = "program:expired"
BUCKETS = ("pending", "available", "disputed", "reserved")


class Move(NamedTuple):
    """One posting still to be made: `micropoints` > 0 from one account to another, and why."""

    source: str
    destination: str
    micropoints: int
    reason: str


class Target(NamedTuple):
    """What a sale should have posted by now."""

    balances: dict[str, int]  # account -> micropoints, only those above zero
    settle_at: int | None = None  # when the same facts will mean something else


def account(customer: int | None, bucket: str, *, test: bool = False) -> str:
    """Name a customer's account for a bucket; without a customer the points are unclaimed."""
    owner = "unclaimed" if customer is None else f"customer:{customer}"
    return f"test:{owner}:{bucket}" if test else f"{owner}:{bucket}"


def micropoints(eligible_minor: int, currency: str, earning: Earning, rate: Decimal) -> int:
    """Apply the rates to integer minor units exactly; only what is below a micropoint is dropped.

    `rate` is what one major unit of `currency` is worth in the programme's currency.
    """
    if not eligible_minor:
        return 0
    factor = int(earning.points_per_unit * MICRO) * int(rate * MICRO)
    divisor: int = MICRO * 10 ** exponent(currency)
    return eligible_minor * factor // divisor


def earned(minor: int, worth: Worth, earning: Earning, rate: Decimal, held: Held = NO_TIER) -> int:
    """Say what a share of a sale's eligible money earns, in micropoints; only what is below one is dropped.

    Where campaigns give more for a part of the goods, every share has as much of each part as the whole: money
    given back or disputed without lines belongs to all of them (loyalty rules, "refund without line items").
    """
    assert worth.currency is not None
    if not worth.bonuses:
        if held.times == 1 and earning.most_per_unit is None:
            return micropoints(minor, worth.currency, earning, rate)
        mean = Fraction(per_unit(earning, None, held.times))
    else:
        plain = worth.parts_minor - sum(bonus.minor for bonus in worth.bonuses)
        parts = [(plain, None), *((each.minor, each.campaign) for each in worth.bonuses)]
        whole = sum((part * Fraction(per_unit(earning, one, held.times)) for part, one in parts), Fraction())
        mean = whole / worth.parts_minor
    return int(minor * mean * Fraction(rate) * MICRO // 10 ** exponent(worth.currency))


def target(sale: Sale, now: int) -> Target:
    """Say what a sale should have posted at `now` under the programme it was sold under.

    Points wait in `pending` until the hold ends, then are `available`; the share under an open dispute is
    `disputed`; what was lost to a dispute is gone (settlement rules, sections 2 and 3).
    """
    worth, version = sale.worth, sale.earns_under
    if version is None or worth.currency is None or worth.sold_at is None or refusal(sale) is not None:
        return Target({})
    earning = version.program.earning
    rate = exchange_rate(worth.currency, sale.shop.currency, earning)
    if rate is None:
        return Target({})
    held = held_under(version.program, sale.tier)
    whole = earned(worth.eligible_minor - worth.lost_minor, worth, earning, rate, held)
    disputed = earned(worth.disputed_minor, worth, earning, rate, held)
    hold_ends = worth.sold_at + earning.hold_days * DAY
    on_hold = now < hold_ends
    balances: dict[str, int] = {}
    if disputed:
        balances[account(sale.customer, "disputed", test=worth.test)] = disputed
    if whole > disputed:
        bucket = "pending" if on_hold else "available"
        balances[account(sale.customer, bucket, test=worth.test)] = whole - disputed
    return Target(balances, hold_ends if on_hold and whole else None)


def refusal(sale: Sale) -> str | None:
    """Say why a sale earns nothing whatever its amount, in one sentence; None where it may earn."""
    worth = sale.worth
    if worth.standing == "elsewhere":
        return f"The same sale was told by Shopify as sale {sale.twin}; it earns there, once."
    if worth.standing == "disconnected":
        platform = "Shopify" if sale.facts.order is not None else "Stripe"
        return f"It was sold after {platform} was disconnected, so it earns nothing."
    if worth.standing != "counted" or worth.sold_at is None or worth.currency is None:
        return "So it earns nothing now."
    version = sale.earns_under
    if version is None:
        return "It was sold before there was a programme, so it earns nothing."
    if not version.program.earning.enabled:
        return f"Earning was switched off when it was sold (programme version {version.number})."
    return None


def exchange_rate(currency: str, program_currency: str, earning: Earning) -> Decimal | None:
    """What one major unit of `currency` is worth in the programme's; None where the merchant set no rate."""
    return Decimal(1) if currency == program_currency else earning.rates.get(currency)


def explain(sale: Sale, posted: Mapping[str, int], now: int) -> list[str]:
    """Say in sentences what a sale earned and why not more: facts, rule version, arithmetic, postings.

    `posted` maps accounts to micropoints, net of all postings of the sale.
    """
    aim = target(sale, now)
    lines = reasons(sale, now)
    held = {name: n for name, n in posted.items() if n and not name.endswith(ISSUED)}
    if held:
        lines.append("Posted: " + ", ".join(f"{_shown(n)} in {a}" for a, n in sorted(held.items())) + ".")
    else:
        lines.append("Nothing is posted for it.")
    if held != aim.balances:
        lines.append("This differs from what it should be by now; it will be settled again.")
    return lines


def reasons(sale: Sale, now: int, supposed: bool = False) -> list[str]:
    """Say in sentences what a sale earns and why not more: facts, rule version, arithmetic.

    The version is not named where it is only `supposed`: nobody has saved it.
    """
    return [*sale.worth.why, *_reckoning(sale, now, supposed)]


def _reckoning(sale: Sale, now: int, supposed: bool) -> list[str]:
    worth, version = sale.worth, sale.earns_under
    refused = refusal(sale)
    if refused is not None or version is None or worth.currency is None or worth.sold_at is None:
        return [refused or "It earns nothing."]
    earning = version.program.earning
    rate = exchange_rate(worth.currency, sale.shop.currency, earning)
    if rate is None:
        return [f"No rate from {worth.currency} to {sale.shop.currency} was set when this was sold."]
    kept = worth.eligible_minor - worth.lost_minor
    held = held_under(version.program, sale.tier)
    whole = earned(kept, worth, earning, rate, held)
    disputed = earned(worth.disputed_minor, worth, earning, rate, held)
    converted = "" if rate == 1 else f" × {rate.normalize():f}"
    under = "" if supposed else f" under programme version {version.number}"
    apart = " (a test sale: kept apart, never real points)" if worth.test else ""
    lines = [_campaign(worth, bonus, earning, held) for bonus in worth.bonuses]
    if held.tier is not None and held.times != 1:
        name = version.program.tiers.ladder[held.tier].name
        lines.append(
            f"The customer had the tier {name} when it was bought: it earns {_plain(held.times)} times as much."
        )
    lines.append(
        f"{_sum(kept, worth, earning, converted, held)} = {_shown(whole)} point{'' if whole == MICRO else 's'}"
        f"{under}{apart}."
    )
    if sale.awarded_under is not None and sale.facts.imported is not None:
        run = sale.facts.imported.run
        lines.append(f"It was sold before earning was switched on; backfill {run} awards it under that version.")
    if worth.lost_minor:
        lines.append("The payment was disputed and lost: that share earns nothing.")
    if disputed:
        lines.append(f"{_shown(disputed)} of them are held while the payment is disputed.")
    if whole > disputed:
        hold_ends = worth.sold_at + earning.hold_days * DAY
        day = _day(hold_ends, sale.shop.timezone)
        if now < hold_ends:
            lines.append(f"They are pending until {day}, when the hold of {_days(earning.hold_days)} ends.")
        elif earning.hold_days:
            lines.append(f"The hold of {_days(earning.hold_days)} ended on {day}.")
    return lines


def _campaign(worth: Worth, bonus: Bonus, earning: Earning, held: Held) -> str:
    """Say what a campaign gave more for, with its own times."""
    one = earning.campaigns[bonus.campaign]
    money = _money(bonus.minor, worth)
    given = "" if bonus.minor == worth.parts_minor else f", for {money} of the goods"
    more, base = per_unit(earning, bonus.campaign, held.times), per_unit(earning, None, held.times)
    return (
        f"The campaign “{one.name}” ({one.starts} to {one.ends}) gave {_plain(more)} points a unit,"
        f" not {_plain(base)}{given}."
    )


def _sum(kept: int, worth: Worth, earning: Earning, converted: str, held: Held) -> str:
    """Write out the multiplication: money, what it is converted by, points a unit, part by part."""
    plain = worth.parts_minor - sum(bonus.minor for bonus in worth.bonuses)
    parts = [(bonus.minor, per_unit(earning, bonus.campaign, held.times)) for bonus in worth.bonuses]
    if plain or not parts:
        parts.append((plain, per_unit(earning, None, held.times)))
    if len(parts) == 1:
        points = _plain(parts[0][1])
        return f"{_money(kept, worth)}{converted} × {points} point{'' if points == '1' else 's'}"
    told = " + ".join(f"{_money(minor, worth)} × {_plain(points)}" for minor, points in parts)
    share = "" if kept == worth.parts_minor else f" × {_digits(kept, worth)}/{_digits(worth.parts_minor, worth)}"
    return f"({told}){converted} points{share}"


def _day(instant: int, timezone: str) -> str:
    """Write the shop's own day of an instant, as people do."""
    day = to_datetime(instant).astimezone(ZoneInfo(timezone))
    return f"{day.day} {day:%B %Y}"


def _days(count: int) -> str:
    return "one day" if count == 1 else f"{count} days"


def _money(minor: int, worth: Worth) -> str:
    return f"{_digits(minor, worth)} {worth.currency}"


def _digits(minor: int, worth: Worth) -> str:
    assert worth.currency is not None
    return f"{to_decimal(minor, worth.currency):f}"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _shown(amount: int) -> str:
    """Write micropoints as points, with as many decimals as they have."""
    return f"{(Decimal(amount) / MICRO).normalize():f}"


def moves(posted: Mapping[str, int], aim: Target) -> list[Move]:
    """List the postings from what is posted to what should be: first between accounts, the rest from or to issue.

    `posted` and the aim map accounts to micropoints. The order is the accounts' own, so that it is always the
    same.
    """
    names = sorted({*posted, *aim.balances} - {ISSUED, f"test:{ISSUED}"})
    surplus = [(n, d) for n in names if (d := posted.get(n, 0) - aim.balances.get(n, 0)) > 0]
    wanting = [(n, d) for n in names if (d := aim.balances.get(n, 0) - posted.get(n, 0)) > 0]
    made: list[Move] = []
    while surplus and wanting:
        (source, has), (destination, needs) = surplus.pop(0), wanting.pop(0)
        amount = min(has, needs)
        made.append(Move(source, destination, amount, _reason(source, destination)))
        if has > amount:
            surplus.insert(0, (source, has - amount))
        if needs > amount:
            wanting.insert(0, (destination, needs - amount))
    made += [Move(source, _issue_of(source), amount, "reversal") for source, amount in surplus]
    made += [Move(_issue_of(name), name, amount, "accrual") for name, amount in wanting]
    return made


def _issue_of(name: str) -> str:
    return f"test:{ISSUED}" if name.startswith("test:") else ISSUED


def _reason(source: str, destination: str) -> str:
    owner, _, bucket = source.rpartition(":")
    other, _, target_bucket = destination.rpartition(":")
    if owner != other:
        return "claim" if owner.endswith("unclaimed") else "move"
    if target_bucket == "disputed":
        return "dispute_hold"
    if bucket == "disputed":
        return "dispute_release"
    return "release" if target_bucket == "available" else "hold"
