"""What a reward costs, who may have it, and where its points belong at every moment: pure."""

from collections.abc import Mapping
from decimal import ROUND_DOWN
from typing import Literal, NamedTuple

from handlers.merchants.offers import CODES, OF_MONEY, Reward, Rewards
from handlers.points.rules import MICRO
from handlers.sales.rules import Sale
from handlers.spending import Obstacle
from integration.clock import DAY
from integration.money import exponent

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # nothing that is read for something else
CODE_LETTERS = 14  # of a code: 68 bits, so that none can be guessed

State = Literal["asked", "issued", "returning", "used", "expired", "voided", "refused"]
OPEN = frozenset({"asked", "issued", "returning"})
KEEPS = frozenset({"asked", "issued", "returning", "used"})  # count against a stock and a customer's limit


_CAME_TO_NOTHING = frozenset({"cancelled", "voided", "deleted"})


class Standing(NamedTuple):
    """Where a redemption's points are, in micropoints; all others are the customer's to spend."""

    reserved: int = 0
    spent: int = 0


class Move(NamedTuple):
    """One posting still to be made between the customer's accounts and the programme's."""

    source: Literal["available", "reserved", "spent"]
    destination: Literal["available", "reserved", "spent"]
    micropoints: int
    reason: str


class Holdings(NamedTuple):
    """What decides whether somebody may have a reward."""

    available: int  # micropoints
    tier: str | None = None
    taken: int = 0  # by this customer, of this reward
    taken_by_all: int = 0


def where(state: State, points: int, restored: int = 0) -> Standing:
    """Say where the points of a redemption belong.

    They are set aside while the platform is asked, and spent once there is something to use; what is taken back or
    never came to be goes back. What lapsed unused (`expired`) stays spent, where the programme says so. `restored` of
    them (micropoints) came back because what was bought with the reward did (loyalty rules, "redeemed order
    refunded").
    """
    whole = points * MICRO
    match state:
        case "asked":
            return Standing(reserved=whole)
        case "issued" | "returning" | "used" | "expired":
            return Standing(spent=whole - restored)
    return Standing()


def moves(posted: Standing, aim: Standing) -> list[Move]:
    """List the postings that lead from what is posted to the aim."""
    made: list[Move] = []
    settled = min(posted.reserved - aim.reserved, aim.spent - posted.spent)
    if settled > 0:
        made.append(Move("reserved", "spent", settled, "redeemed"))
        posted = Standing(posted.reserved - settled, posted.spent + settled)
    if posted.reserved > aim.reserved:
        made.append(Move("reserved", "available", posted.reserved - aim.reserved, "reward_returned"))
    elif posted.reserved < aim.reserved:
        made.append(Move("available", "reserved", aim.reserved - posted.reserved, "reward"))
    if posted.spent > aim.spent:
        made.append(Move("spent", "available", posted.spent - aim.spent, "reward_returned"))
    elif posted.spent < aim.spent:
        made.append(Move("available", "spent", aim.spent - posted.spent, "redeemed"))
    return made


def obstacle(rewards: Rewards, reward: Reward | None, steps: int, mine: Holdings, now: int) -> Obstacle | None:
    """Say why somebody cannot have a reward now; None where they can."""
    if not rewards.enabled or reward is None or not reward.enabled:
        return "gone"
    if now < reward.starts_at:
        return "early"
    if now >= reward.ends_at:
        return "over"
    if reward.tiers and (mine.tier or "") not in reward.tiers:
        return "tier"
    if not 1 <= steps <= (reward.most_steps if reward.incremental else 1):
        return "steps"
    if reward.per_customer is not None and mine.taken >= reward.per_customer:
        return "enough"
    if reward.stock is not None and mine.taken_by_all >= reward.stock:
        return "sold_out"
    return "points" if cost(reward, steps) > mine.available // MICRO else None


_REFUSALS: Mapping[Obstacle, str] = {
    "gone": "This reward is not offered any more.",
    "early": "This reward is not offered yet.",
    "over": "This reward is over.",
    "tier": "This reward is for other tiers.",
    "steps": "This reward can be had {most} times at once at most.",
    "enough": "You have had this reward as often as anybody can.",
    "sold_out": "Nothing is left of this reward.",
    "points": "{missing} more points are needed for this reward.",
}


def refusal(rewards: Rewards, reward: Reward | None, steps: int, mine: Holdings, now: int) -> str | None:
    """Say in one sentence, for the customer, why they cannot have a reward now; None where they can."""
    found = obstacle(rewards, reward, steps, mine, now)
    if found is None:
        return None
    most = reward.most_steps if reward is not None and reward.incremental else 1
    missing = cost(reward, steps) - mine.available // MICRO if reward is not None else 0
    return _REFUSALS[found].format(most=most, missing=missing)


def cost(reward: Reward, steps: int = 1) -> int:
    """Return what a reward costs, in whole points."""
    return reward.points * steps


def most_steps(reward: Reward, available: int) -> int:
    """Return how many steps of a reward micropoints pay for, at most; 0 = none."""
    return min(available // MICRO // reward.points, reward.most_steps if reward.incremental else 1)


def value_minor(reward: Reward, steps: int, currency: str) -> int:
    """Return what a reward is worth in minor units of the programme's currency; 0 where that depends on the order."""
    if reward.kind not in OF_MONEY and not reward.value:
        return 0
    return int((reward.value * steps).scaleb(exponent(currency)).to_integral_value(ROUND_DOWN))


def expires_at(reward: Reward, now: int) -> int | None:
    """Say when what is taken now lapses unused; None = never."""
    return now + reward.valid_days * DAY if reward.valid_days else None


def is_code(kind: str) -> bool:
    """Tell whether a kind of reward is typed at the checkout, so that it may stay unused."""
    return kind in CODES


def restored(points: int, bought: int, given_back: int) -> int:
    """Say how many micropoints come back when `given_back` of what was bought with a reward (same money) did.

    Cumulative: the same figures again restore nothing more. All of it back restores every point.
    """
    if bought <= 0 or given_back <= 0:
        return 0
    return points * MICRO * min(given_back, bought) // bought


def given_back(sale: Sale) -> tuple[int, int]:
    """Say how much was bought on a sale that used a reward, and how much of it has come back, in one measure.

    Goods that earn count by their money, as for the points they earned; where none of it is money or earns, pieces
    do. A sale that came to nothing came back whole (loyalty rules, "redeemed order refunded").
    """
    worth, order = sale.worth, sale.facts.order
    if worth.standing in _CAME_TO_NOTHING:
        return 1, 1
    if worth.standing != "counted":
        return 1, 0
    if worth.goods_minor > 0:
        return worth.goods_minor, worth.goods_minor - worth.eligible_minor
    if worth.paid_minor > 0:
        return worth.paid_minor, worth.paid_minor - worth.net_minor
    if order is None:
        return 1, 0
    pieces = sum(line.quantity for line in order.lines)
    return pieces, pieces - sum(line.current_quantity for line in order.lines)


def spelt(digest: bytes) -> str:
    """Write a digest as a code of letters and digits that are not mistaken for one another."""
    number, letters = int.from_bytes(digest), []
    for _ in range(CODE_LETTERS):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return "".join(letters)
