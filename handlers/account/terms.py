"""How a programme works, in sentences for its customers: written from the rules in force, with what changed when."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise, takewhile
from typing import NamedTuple

from handlers.account.rules import Reader, gets, times
from handlers.merchants.offers import Reward
from handlers.merchants.referring import Referrals
from handlers.merchants.rules import Program, Shop, Version
from handlers.merchants.tiering import Tier, Tiers
from handlers.merchants.ways import Occasion
from handlers.spending import Offer

MOST_NAMED = 6  # rewards in one sentence; the others are counted
MOST_CHANGES = 3  # that the page tells of, the newest first

Parts = list[tuple[str, list[str]]]
"""Headings with the sentences under each."""


class Change(NamedTuple):
    """What was said anew from a day on, and what was not said any more; neither = details."""

    since: str
    said: list[str]
    gone: list[str]


class Way(NamedTuple):
    """An occasion that brings points, as the page shows it."""

    kind: str
    brings: list[tuple[str, str]]  # what, and its points
    rule: str  # how often, and what it takes
    sentence: str  # all of it with the day from which on it holds, as the terms say it


class Terms(NamedTuple):
    """How the programme works, since when, and what the last changes were."""

    version: str
    parts: Parts
    changes: list[Change]
    ways: list[Way]  # beside purchases


def terms(reader: Reader, shop: Shop, offers: Sequence[Offer], now: int) -> Terms | None:
    """Say how the programme that is in force works; None where nothing is."""
    version = shop.version_at(now)
    if version is None:
        return None
    stages = _stages(shop.versions, version)
    since = stages[0]
    words = reader.say("how_version", day=reader.day(since.in_force_at), version=reader.number(since.number))
    ways = _ways(reader, stages)
    parts = _parts(reader, version.program, ways, [one.reward for one in offers], now)
    return Terms(words, parts, _changes(reader, stages, now), ways)


def _stages(versions: Iterable[Version], version: Version) -> list[Version]:
    """List the versions up to one at which customers' terms became others, the newest first."""
    earlier = [one for one in versions if (one.in_force_at, one.number) <= (version.in_force_at, version.number)]
    found: list[Version] = []
    for one in sorted(earlier, key=lambda each: (each.in_force_at, each.number)):
        if not found or of_customers(found[-1].program) != of_customers(one.program):
            found.append(one)
    return found[::-1]


def of_customers(program: Program) -> tuple[object, ...]:
    """Return what of a programme is a customer's business: earning, occasions, tiers, expiry, rewards, friends."""
    earning = program.earning.model_copy(update={"notify_reductions": True})
    expiry = program.expiry.model_copy(update={"remind": True, "notice_days": ()})
    tiers = program.tiers if program.tiers.enabled else None
    friends = program.referrals if program.referrals.enabled else None
    return earning, program.ways.occasions, expiry, program.rewards, tiers, friends


def _changes(reader: Reader, stages: Sequence[Version], now: int) -> list[Change]:
    found: list[Change] = []
    for n, (new, old) in enumerate(pairwise(stages)):
        if len(found) == MOST_CHANGES or not _gives_anything(old.program):
            break
        after, before = (_sentences(reader, stages[at:], now) for at in (n, n + 1))
        said = [one for one in after if one not in before]
        gone = [one for one in before if one not in after]
        found.append(Change(reader.say("how_since", day=reader.day(new.in_force_at)), said, gone))
    return found


def _gives_anything(program: Program) -> bool:
    return program.earning.enabled or program.rewards.enabled or bool(program.ways.occasions)


def _sentences(reader: Reader, stages: Sequence[Version], now: int) -> list[str]:
    program = stages[0].program
    offered = [one for one in program.rewards.catalogue.values() if program.rewards.enabled and one.enabled]
    return [one for _, said in _parts(reader, program, _ways(reader, stages), offered, now) for one in said]


def _parts(reader: Reader, program: Program, ways: Sequence[Way], rewards: Sequence[Reward], now: int) -> Parts:
    parts = [(reader.say("how_earning"), _earning(reader, program, now))]
    if ways:
        parts.append((reader.say("ways"), [each.sentence for each in ways]))
    if program.tiers.enabled:
        parts.append((reader.say("how_tiers"), _tiers(reader, program)))
    if program.referrals.enabled:
        parts.append((reader.say("how_friends"), _friends(reader, program.referrals)))
    return [
        *parts,
        (reader.say("how_spending"), _spending(reader, program, rewards)),
        (reader.say("how_refunds"), _returns(reader, program)),
        (reader.say("how_expiry"), [_expiry(reader, program)]),
    ]


def _friends(reader: Reader, terms: Referrals) -> list[str]:
    caps = {"month": reader.number(terms.most_a_month), "all": reader.number(terms.most_in_all)}
    return [
        reader.say("how_friend", points=reader.points(terms.points), welcome=gets(reader, terms.welcome)),
        reader.say("how_friend_rules", **caps),
    ]


def _earning(reader: Reader, program: Program, now: int) -> list[str]:
    earning = program.earning
    if not earning.enabled:
        return [reader.say("how_off")]
    rate = reader.points(earning.points_per_unit)
    said = [reader.say("how_rate", points=rate, money=reader.amount(Decimal(1)))]
    said.append(reader.say("how_rate_tax" if earning.include_tax else "how_rate_no_tax"))
    if earning.include_shipping:
        said += [reader.say("how_shipping"), reader.say("how_nothing_shipping")]
    else:
        said.append(reader.say("how_nothing"))
    if earning.exclude_products or earning.exclude_tags or earning.exclude_channels:
        said.append(reader.say("how_excluded"))
    for campaign in earning.campaigns.values():
        if campaign.starts_at <= now < campaign.ends_at:
            some = "_some" if campaign.products or campaign.collections else ""
            said.append(reader.say(f"how_campaign{some}", name=campaign.name, day=reader.day(campaign.ends_at - 1)))
    if earning.most_per_unit is not None:
        most = reader.points(earning.most_per_unit)
        said.append(reader.say("how_most", points=most, money=reader.amount(Decimal(1))))
    return [*said, reader.say("how_exact")]


def _ways(reader: Reader, stages: Sequence[Version]) -> list[Way]:
    """Say what occasions bring under the first of some stages, and since which of them each has been as it is."""
    found = []
    for one in stages[0].program.ways.occasions:
        as_now = takewhile(lambda each, one=one: one in each.program.ways.occasions, stages)  # type: ignore[misc]
        since = reader.say("way_since", day=reader.day(min(each.in_force_at for each in as_now)))
        brings = [
            (reader.say(f"way_{one.kind}", n=reader.number(place)), reader.points(points))
            for place, points in one.steps
        ]
        at_once = "_at_once" if one.kind == "birthday" and not one.notice_days else ""
        rule = reader.say(f"way_{one.kind}_rule{at_once}", days=reader.number(one.notice_days))
        found.append(Way(one.kind, brings, rule, f"{_listed(reader, one, brings)} {rule} {since}"))
    return found


def _listed(reader: Reader, one: Occasion, brings: Sequence[tuple[str, str]]) -> str:
    """Say in one sentence what a kind brings; of many orders only the first is called one."""
    called = [brings[0][0], *(reader.number(place) for place, _ in one.steps[1:])]
    each = [reader.say("way_brings", what=a, points=b) for a, (_, b) in zip(called, brings, strict=True)]
    return f"{'; '.join(each)}."


def _tiers(reader: Reader, program: Program) -> list[str]:
    tiers = program.tiers
    return [
        *(_tier(reader, tiers, each) for _, each in tiers.ascending),
        reader.say(f"tier_{tiers.by}_{tiers.over}"),
        reader.say("how_tier_kept", months=reader.number(tiers.kept_months), days=reader.number(tiers.grace_days)),
    ]


def _tier(reader: Reader, tiers: Tiers, tier: Tier) -> str:
    takes = reader.points(tier.threshold) if tiers.by == "points" else reader.amount(Decimal(tier.threshold))
    entry = reader.say("how_tier_entry", points=reader.points(tier.entry_points)) if tier.entry_points else ""
    said = (reader.say("how_tier", tier=tier.name, takes=takes), times(reader, tier.multiplier), entry)
    return " ".join(each for each in said if each)


def _spending(reader: Reader, program: Program, rewards: Sequence[Reward]) -> list[str]:
    days = program.earning.hold_days
    said = [reader.say("how_hold", days=reader.number(days)) if days else reader.say("how_hold_none")]
    if not rewards:
        return [*said, reader.say("how_rewards_none")]
    each = [reader.say("how_reward", reward=one.name, points=reader.points(one.points)) for one in rewards[:MOST_NAMED]]
    more = len(rewards) - MOST_NAMED
    named = "; ".join([*each, reader.say("more_rewards", n=reader.number(more))] if more > 0 else each)
    said += [reader.say("how_rewards", list=named), reader.say("how_unused")]
    returns = program.rewards.return_expired
    return [*said, reader.say("how_unused_lapse" if returns else "how_unused_gone")]


def _returns(reader: Reader, program: Program) -> list[str]:
    names = ("how_refund", "how_refund_reward", "how_debt") if program.rewards.enabled else ("how_refund", "how_debt")
    return [reader.say(name) for name in names]


def _expiry(reader: Reader, program: Program) -> str:
    if not program.expiry.enabled:
        return reader.say("how_expiry_none")
    return reader.say(f"how_expiry_{program.expiry.after}", months=reader.number(program.expiry.months))
