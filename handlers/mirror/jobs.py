"""Tells Shopify what its customers' metafields say: follows the ledger, and writes in batches what has changed."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from handlers.context import Context
from handlers.inbox.keys import Key
from handlers.merchants.books import shops
from handlers.merchants.tiering import Tiers
from handlers.mirror import store
from handlers.mirror.rules import (
    ADDING,
    DEFINITIONS,
    FORM,
    FOUND,
    KEYS,
    OURS,
    PEOPLE_AT_ONCE,
    Card,
    Change,
    card,
    definition,
    fields_of,
    names_of,
    owner_of,
    tag_of,
    tagging,
    takes_away,
)
from handlers.mirror.store import Behind, Due
from handlers.points.statement import balances, tier_of
from integration.clock import HOUR, MINUTE
from integration.database.shares import Want, take
from integration.database.steps import Steps
from integration.errors import Rejected, Revoked, Unavailable
from integration.shopify.admin import Admin, document, refusal
from integration.vault import Unsealable

RUN_SECONDS = 45.0  # beyond which nothing else is begun
MOST_MERCHANTS = 500
MOST_PEOPLE = 800  # of all merchants in one round
ALONE = 400  # of one merchant in one round
MOST_ROUNDS = 1_000
REFUSED_PAUSE = HOUR
AWAY_PAUSE = MINUTE
_THERE = frozenset({"TAKEN"})

log = structlog.get_logger()


async def tell(context: Context) -> int:
    """Bring what shops show of their customers' points up to date; returns how many customers were looked at.

    Twice at once, cut off or begun anew, it comes to the same: what Shopify already has is not written again.
    """
    ends = time.monotonic() + RUN_SECONDS
    await _follow(context, ends)
    looked_at = after = 0
    for _ in range(MOST_ROUNDS):
        now, begun_at = context.clock.now(), after
        taken = await context.database.read(lambda after=after: take(store.DUE, now, Want(MOST_PEOPLE, ALONE), after))  # type: ignore[misc] # noqa: B023
        done = 0
        for rows in taken.rows:
            if time.monotonic() > ends:
                return looked_at + done
            done += await _tell_shop(context, rows[0][-1], [store.due_of(row) for row in rows])
        looked_at, after = looked_at + done, taken.after
        # Who was put off, or does not let us, stays due: nobody is waited for.
        if not done and not after and not begun_at:
            break
    return looked_at


async def _follow(context: Context, ends: float) -> None:
    after = 0
    while time.monotonic() < ends:
        now = context.clock.now()
        page = await context.database.read(lambda after=after: store.behind(after, now, MOST_MERCHANTS))  # type: ignore[misc] # noqa: B023
        for one in page:
            await _follow_one(context, one, now, ends)
            after = one.merchant_id
        if len(page) < MOST_MERCHANTS:
            return


async def _follow_one(context: Context, one: Behind, now: int, ends: float) -> None:
    await context.database.run(lambda: store.begin(one, now))
    entry: int | None = one.entry
    while entry is not None and time.monotonic() < ends:
        entry = await context.database.run(lambda e=entry: store.follow(one.merchant_id, e, now))  # type: ignore[misc]
    at = await context.database.read(lambda: store.swept_after(one.merchant_id))
    while at is not None and time.monotonic() < ends:
        at = await context.database.run(lambda a=at: store.sweep(one.merchant_id, a, now))  # type: ignore[misc]


# --- One shop -----------------------------------------------------------------------------------


class _At(NamedTuple):
    """A shop that lets us tell it something."""

    admin: Admin
    merchant_id: int
    domain: str
    key: Key

    async def ask(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Ask one of our documents for its one answer. Raises as `Admin.graphql`."""
        answer = await self.admin.graphql(self.domain, self.key, document(name), variables)
        found = next(iter((answer.get("data") or {}).values()), None)
        if not isinstance(found, dict):
            raise refusal(self.domain, answer.get("errors"))
        return found


async def _tell_shop(context: Context, merchant_id: int, people: Sequence[Due]) -> int:
    """Tell one shop of some of its customers; returns how many were looked at."""
    connection = await context.database.read(lambda: store.connection_of(merchant_id))
    if connection is None or not await context.database.run(lambda: store.claim(merchant_id, context.clock.now())):
        return 0
    number, domain, form = connection
    key, pause, done = Key(context, number), 0, 0
    at = _At(context.shopify.at_leisure(), merchant_id, domain, key)
    try:
        if form < FORM:
            await _define(context, at)
        for start in range(0, len(people), PEOPLE_AT_ONCE):
            part = people[start : start + PEOPLE_AT_ONCE]
            await _tell_some(context, at, part)
            done += len(part)
    except Revoked as error:
        await key.give_up(error)
    except (Rejected, Unsealable) as error:
        log.warning("mirror_refused", merchant=merchant_id, reason=str(error))
        pause = REFUSED_PAUSE
    except Unavailable as error:
        log.info("mirror_waits", merchant=merchant_id, reason=str(error))
        pause = AWAY_PAUSE
    await context.database.run(lambda: store.leave(merchant_id, context.clock.now() + pause))
    return done


async def _define(context: Context, at: _At) -> None:
    """Define the metafields where the shop does not have them yet."""
    for each in DEFINITIONS:
        made = await at.ask("mirror_define", {"definition": definition(*each)})
        errors = [error for error in made.get("userErrors") or [] if error.get("code") not in _THERE]
        if errors:
            raise Rejected(f"{at.domain} does not define {each[0]}: {errors[0].get('message')}")
    await context.database.run(lambda: store.defined(at.merchant_id, FORM))


async def _tell_some(context: Context, at: _At, people: Sequence[Due]) -> None:
    """Write what has changed of at most `PEOPLE_AT_ONCE` customers, and take away what is no longer so."""
    now = context.clock.now()
    tiers, cards = await context.database.read(lambda: _cards(context, at, people, now))
    forgotten = [one.account for one in people if one.account not in cards]
    known = [(one, cards[one.account]) for one in people if one.account in cards]
    changed = [(one, card) for one, card in known if card.digest != one.digest]
    unknown = await _set(at, [(one.account, card) for one, card in changed])
    names = [name for account in forgotten for name in names_of(account, KEYS)]
    for one, own in changed:
        if one.has_tier and own.tier is None and one.account not in unknown:
            names += names_of(one.account, ["tier"])
    if names:
        # That they, or their customer, are gone already is as well.
        await at.ask("mirror_clear", {"metafields": names})
    await _tag_some(context, at, people, {one.account: card.tag for one, card in known}, tiers)
    told = [(one, card.digest, card.tier is not None) for one, card in known]
    await context.database.run(lambda: store.told(at.merchant_id, told))
    await context.database.run(lambda: store.cleared(at.merchant_id, forgotten))


def _cards(context: Context, at: _At, people: Sequence[Due], now: int) -> Steps[tuple[Tiers, dict[str, Card]]]:
    """Work out everybody's card as it is now, under which ladder; who is forgotten has none."""
    shop = (yield from shops([at.merchant_id]))[at.merchant_id]
    tiers = shop.current.tiers
    numbers = sorted({one.customer for one in people if one.customer is not None})
    points = yield from balances(at.merchant_id, numbers)
    found: dict[int, Card] = {}
    for number in numbers:
        offers = (yield from context.spending.offers(shop, number, now)) if context.spending is not None else []
        place = yield from tier_of(shop, number)
        shown = card(points[number]["available"], points[number]["pending"], place["tier"], offers, at.domain)
        found[number] = shown._replace(tag=tag_of(tiers, place.get("standing", {}).get("id")))
    return tiers, {one.account: found[one.customer] for one in people if one.customer is not None}


async def _set(at: _At, wanted: Sequence[tuple[str, Card]]) -> set[str]:
    """Write cards, all or none at once; customers the shop does not know are left out and returned."""
    unknown: set[str] = set()
    while wanted:
        fields = [field for account, card in wanted for field in fields_of(account, card)]
        errors = (await at.ask("mirror_set", {"metafields": fields})).get("userErrors") or []
        if not errors:
            break
        owners = {_owner(fields, error) for error in errors} - {None}
        gone = {account for account, _ in wanted if owner_of(account) in owners}
        if not gone:
            raise Rejected(f"{at.domain} does not take metafields: {errors[0].get('message')}")
        unknown |= gone
        wanted = [(account, card) for account, card in wanted if account not in gone]
    return unknown


async def _tag_some(
    context: Context, at: _At, people: Sequence[Due], wanted: Mapping[str, str | None], tiers: Tiers
) -> None:
    """Give customers the tag of their tier and take away that of the one they left; each change is kept as it is made.

    What Shopify did and we did not hear of is done again, to the same end.
    """

    async def keep(rows: Sequence[tuple[str, str | None, str | None]]) -> None:
        await context.database.run(lambda: store.tagged(at.merchant_id, rows))

    left = [one for one in people if one.tag is not None and one.tag != wanted.get(one.account)]
    ours = [
        Change(one.account, one.tag, False) for one in left if one.tag and takes_away(one.tag, one.tag_state, tiers)
    ]
    await _change(at, ours)
    if left:
        await keep([(one.account, None, None) for one in left])
    due = [(one, tag) for one in people if (tag := wanted.get(one.account)) is not None]
    begun = [(one.account, tag) for one, tag in due if one.tag == tag and one.tag_state == ADDING]
    new = {one.account: tag for one, tag in due if one.tag != tag}
    if new:
        known = await _tags(at, sorted(new))
        found = [name for name, tags in known.items() if new[name].casefold() in tags]
        fresh = [(name, new[name]) for name in known if name not in found]
        await keep([*((name, new[name], FOUND) for name in found), *((name, tag, ADDING) for name, tag in fresh)])
        begun += fresh
    there = await _change(at, [Change(name, tag, True) for name, tag in begun])
    if begun:
        await keep([(name, tag, OURS) if name in there else (name, None, None) for name, tag in begun])


async def _tags(at: _At, accounts: Sequence[str]) -> dict[str, set[str]]:
    """Say which tags customers have, case aside; who is not there any more is left out."""
    ids = [owner_of(account) for account in accounts]
    answer = await at.admin.graphql(at.domain, at.key, document("mirror_tags"), {"ids": ids})
    nodes = (answer.get("data") or {}).get("nodes")
    if not isinstance(nodes, list):
        raise refusal(at.domain, answer.get("errors"))
    found = {node["id"]: {tag.casefold() for tag in node["tags"]} for node in nodes if node}
    return {account: found[owner_of(account)] for account in accounts if owner_of(account) in found}


async def _change(at: _At, changes: Sequence[Change]) -> set[str]:
    """Change tags by one question; returns whose were, and says in the log where Shopify does not want to."""
    if not changes:
        return set()
    answer = await at.admin.graphql(at.domain, at.key, *tagging(changes))
    told = answer.get("data") or {}
    done = set()
    for place, one in enumerate(changes):
        if not isinstance(told.get(f"c{place}"), dict):
            raise refusal(at.domain, answer.get("errors"))
        if errors := told[f"c{place}"].get("userErrors"):
            log.warning("mirror_tag_refused", merchant=at.merchant_id, reason=errors[0].get("message"))
        else:
            done.add(one.account)
    return done


def _owner(fields: Sequence[dict[str, str]], error: dict[str, Any]) -> str | None:
    """Say whose metafield an error is about, where it is about its owner."""
    path = error.get("field") or []
    if not path or path[-1] != "ownerId":
        return None
    place = error.get("elementIndex")
    if place is None and len(path) > 1 and str(path[1]).isdigit():
        place = int(path[1])
    return fields[place]["ownerId"] if isinstance(place, int) and 0 <= place < len(fields) else None
