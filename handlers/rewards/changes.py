"""What happens to a redemption, each step in one transaction: taken, issued, taken back, used, lapsed."""

import secrets
from collections.abc import Mapping
from typing import NamedTuple

from handlers.customers.persons import numbers_of, root_of
from handlers.merchants.books import Counters, lock_books, save_books, shops
from handlers.merchants.journal import note
from handlers.merchants.offers import Reward
from handlers.merchants.rules import Refused, Shop
from handlers.points.expiry import settle_before_taking
from handlers.points.posting import Posting, post
from handlers.points.rules import account
from handlers.rewards import store
from handlers.rewards.claims import renew
from handlers.rewards.kinds import Fate, Issued
from handlers.rewards.kinds.discounts_off import SwitchedOff, is_switched_off, note_switched_off
from handlers.rewards.rules import (
    KEEPS,
    OPEN,
    Holdings,
    Move,
    cost,
    expires_at,
    moves,
    refusal,
    restored,
    spelt,
    value_minor,
    where,
)
from handlers.rewards.store import Redemption
from integration.clock import SECOND
from integration.database.steps import Steps, ask, plain
from integration.errors import Unavailable

MOST_KEY = 100
MOST_GIVEN_BACK = 1_000  # rewards by one act of the merchant
TURN_PAUSE = 2 * SECOND  # before it is looked again whether the customer's other reward of the kind is done
REDEEMED = "program:redeemed"

# Kept by the tiers' settling.
_TIER = plain("SELECT tier FROM standings WHERE merchant_id = ?1 AND customer = ?2")
_BALANCE = plain("SELECT micropoints FROM accounts WHERE merchant_id = ?1 AND account = ?2")


class Wish(NamedTuple):
    """What somebody wants to have for their points; the same `key` again is the same wish."""

    merchant_id: int
    customer: int
    reward: str
    steps: int
    key: str


def redeem(wish: Wish, platforms: Mapping[str, str | None], now: int) -> Steps[Redemption]:
    """Set points aside for a reward and have its platform asked; the same wish again returns what became of it.

    `platforms` maps kinds to the platform that is asked. Raises Refused, in words for the customer, for what they
    cannot have; then nothing changes.
    """
    if not wish.key or len(wish.key) > MOST_KEY:
        raise Refused("This form is too old. Open the page again.")
    # All of one merchant's wishes take turns here, so that no point is spent twice.
    counters = (yield from lock_books([wish.merchant_id])).get(wish.merchant_id)
    root = yield from root_of(wish.merchant_id, wish.customer)
    if counters is None or root is None:
        raise Refused("There is no such customer.")
    numbers = yield from numbers_of(wish.merchant_id, root)
    before = yield from store.by_key(wish.merchant_id, wish.key)
    if before is not None:
        if before.customer not in numbers or before.reward != wish.reward or before.steps != wish.steps:
            raise Refused("This form is too old. Open the page again.")
        return before
    shop = (yield from shops([wish.merchant_id]))[wish.merchant_id]
    if shop.closed_at is not None:
        raise Refused("This shop has closed its programme.")
    rewards = shop.current.rewards
    reward = rewards.catalogue.get(wish.reward)
    yield from settle_before_taking(wish.merchant_id, [root], counters, now)
    mine = yield from holdings(shop, root, numbers, wish.reward)
    reason = refusal(rewards, reward, wish.steps, mine, now)
    if reason is None and reward is not None and (yield from is_switched_off(wish.merchant_id, wish.reward, reward)):
        reason = "The shop does not give this reward at the moment."
    if reason is not None or reward is None:
        yield from save_books([counters])
        raise Refused(reason or "This reward is not offered any more.")
    platform = platforms.get(reward.kind)
    if platform is not None and platform not in shop.platforms:
        raise Refused("The shop cannot make this reward at the moment.")
    return (yield from settled((yield from _taken(shop, root, wish, reward, now)), counters, now))


def _taken(shop: Shop, root: int, wish: Wish, reward: Reward, now: int) -> Steps[Redemption]:
    """Write down what a wish comes to: to be asked for at once, under a new code, at what it costs now."""
    return Redemption(
        merchant_id=shop.id,
        number=(yield from store.next_number(shop.id)),
        key=wish.key,
        customer=root,
        reward=wish.reward,
        version=shop.versions[-1].number,
        kind=reward.kind,
        terms=store.terms_of(reward),
        steps=wish.steps,
        points=cost(reward, wish.steps),
        value_minor=value_minor(reward, wish.steps, shop.currency),
        currency=shop.currency,
        state="asked",
        reason=None,
        code=spelt(secrets.token_bytes(16)),
        connection=None,
        buyer=None,
        platform_id=None,
        asked_at=now,
        issued_at=None,
        expires_at=expires_at(reward, now),
        used_at=None,
        used_by=None,
        closed_at=None,
        attempts=0,
        next_at=now,
        claim=None,
        claimed_until=None,
        reserved=0,
        spent=0,
        restored=0,
        postings=0,
    )


def holdings(shop: Shop, root: int, numbers: list[int], reward: str) -> Steps[Holdings]:
    """Look up what decides whether a person may have a reward."""
    rows = yield from ask(_BALANCE, (shop.id, account(root, "available")))
    had = yield from store.of_people(shop.id, numbers)
    mine = sum(1 for each in had if each.reward == reward and each.state in KEEPS)
    offer = shop.current.rewards.catalogue.get(reward)
    everybody = (yield from store.taken(shop.id, reward)) if offer is not None and offer.stock is not None else 0
    stands = (yield from ask(_TIER, (shop.id, root))) if offer is not None and offer.tiers else []
    return Holdings(rows[0][0] if rows else 0, stands[0][0] if stands else None, mine, everybody)


def settled(redemption: Redemption, counters: Counters, now: int) -> Steps[Redemption]:
    """Write a redemption and post what leads its points to where they belong; the books must be locked.

    The one way in which points move for a reward: its target minus what is posted.
    """
    aim = where(redemption.state, redemption.points, redemption.restored)
    made = moves(redemption.posted, aim)
    if made:
        root = (yield from root_of(redemption.merchant_id, redemption.customer)) or redemption.customer
        postings = [_posting(redemption, root, move, n) for n, move in enumerate(made, redemption.postings)]
        yield from post(postings, {counters.merchant_id: counters}, now)
        redemption = redemption._replace(
            reserved=aim.reserved, spent=aim.spent, postings=redemption.postings + len(made)
        )
    yield from store.put([redemption])
    yield from save_books([counters])
    return redemption


def _posting(redemption: Redemption, root: int, move: Move, n: int) -> Posting:
    places = {
        "available": account(root, "available"),
        "reserved": account(root, "reserved"),
        "spent": REDEEMED,
    }
    return Posting(
        merchant_id=redemption.merchant_id,
        key=f"redeem:{redemption.number}:{n}",
        source=places[move.source],
        destination=places[move.destination],
        micropoints=move.micropoints,
        reason=move.reason,
        detail=f"reward {redemption.reward}",
    )


# --- What the platform is asked, and what it said -----------------------------------------------


class Begun(NamedTuple):
    """A redemption its platform is to be asked about; `again` where somebody may have been at it before."""

    redemption: Redemption
    again: bool


class Place(NamedTuple):
    """Where a reward is made, and for whom, as the platform knows both."""

    connection: int | None
    buyer: str | None


def begin(claimed: Redemption, place: Place, alone: bool, now: int) -> Steps[Begun | None]:
    """Write down that the platform is about to be asked, and where: an end that is not clear is seen later, there.

    The lease is given anew, since others of the batch came first.

    None where the claim was lost or ran out meanwhile, and where another of the same customer and kind is under way
    with which it could be mistaken (`alone`): then it waits for that.
    """
    counters = (yield from lock_books([claimed.merchant_id]))[claimed.merchant_id]
    present = yield from store.one(claimed.merchant_id, claimed.number)
    if present is None or present.claim != claimed.claim:
        return None
    if alone and (yield from _is_another_under_way(present)):
        attempts = max(0, present.attempts - 1)
        waiting = present._replace(claim=None, claimed_until=None, next_at=now + TURN_PAUSE, attempts=attempts)
        yield from store.put([waiting])
        return None
    if not (yield from renew(present)):
        return None
    again = present.tried_at is not None
    if not again:
        there = present._replace(tried_at=now, connection=present.connection or place.connection, buyer=place.buyer)
        if present.state == "asked":
            # Its time begins once it can be there: a platform that was away takes nothing of it.
            there = there._replace(expires_at=expires_at(present.offer, now))
        yield from store.put([present := there])
    yield from save_books([counters])
    return Begun(present, again)


def _is_another_under_way(mine: Redemption) -> Steps[bool]:
    root = (yield from root_of(mine.merchant_id, mine.customer)) or mine.customer
    numbers = yield from numbers_of(mine.merchant_id, root)
    had = yield from store.of_people(mine.merchant_id, numbers)
    # The one that was tried first goes on, also where two customers with one each have become one since.
    turn = (mine.tried_at, mine.number) if mine.tried_at is not None else None
    return any(
        each.tried_at is not None and (turn is None or (each.tried_at, each.number) < turn)
        for each in had
        if each.number != mine.number and each.kind == mine.kind and each.state in OPEN
    )


def noted(claimed: Redemption, mark: str) -> Steps[None]:
    """Keep where the platform's account stood before it is asked. Raises Unavailable where the claim was lost."""
    yield from lock_books([claimed.merchant_id])
    present = yield from store.one(claimed.merchant_id, claimed.number)
    if present is None or present.claim != claimed.claim:
        raise Unavailable("somebody else has taken this reward over")
    yield from store.put([present._replace(mark=mark)])


def _held(claimed: Redemption) -> Steps[tuple[Redemption | None, Counters]]:
    """Lock the books and read a claimed redemption again; None where somebody else has taken the claim over."""
    counters = (yield from lock_books([claimed.merchant_id]))[claimed.merchant_id]
    present = yield from store.one(claimed.merchant_id, claimed.number)
    if present is None or present.claim != claimed.claim:
        return None, counters
    return present._replace(claim=None, claimed_until=None), counters


def issued(claimed: Redemption, made: Issued, connection: int | None, now: int) -> Steps[Redemption | None]:
    """Note that a reward is there: its points are spent. None where the claim was lost meanwhile."""
    present, counters = yield from _held(claimed)
    if present is None:
        return None
    there = present._replace(
        platform_id=made.platform_id,
        code=made.code or present.code,
        connection=connection,
        issued_at=present.issued_at or now,
        attempts=0,
        reason=None,
        tried_at=None,
        mark=None,
    )
    if present.state == "asked":
        there = there._replace(state="issued", next_at=None)
    return (yield from settled(there, counters, now))


def declined(claimed: Redemption, reason: str, now: int) -> Steps[Redemption | None]:
    """Note that a reward will never be: its points come back. None where the claim was lost meanwhile."""
    present, counters = yield from _held(claimed)
    if present is None:
        return None
    if present.state == "used":
        # A sale has told meanwhile that it is there after all.
        yield from store.put([present._replace(next_at=None, tried_at=None, mark=None)])
        yield from save_books([counters])
        return present
    closed = present._replace(state="refused", reason=reason, next_at=None, closed_at=now, tried_at=None, mark=None)
    return (yield from settled(closed, counters, now))


def switched_off(claimed: Redemption, discount: str, now: int) -> Steps[None]:
    """Note that the merchant has switched off what a code was to be added to: its points come back, and it is told."""
    off = SwitchedOff(discount, claimed.reward, claimed.terms, now)
    yield from note_switched_off(claimed.merchant_id, off, now)
    yield from declined(claimed, "The discount of this reward was switched off in Shopify.", now)


def note_unfinished(one: Redemption, rewards: int, now: int) -> Steps[None]:
    """Journal that a platform did not finish what was asked for together, of which `one` was one."""
    about, did = f"reward:{one.reward}", "has not made codes it was asked for"
    yield from note(one.merchant_id, "Shopify", did, about, {"rewards": rewards}, now)


def put_off(
    claimed: Redemption, reason: str | None, until: int, counts: bool = True, clear: bool = False
) -> Steps[Redemption | None]:
    """Have the platform asked again later, for a reason in words; `clear` where it surely did nothing so far.

    None where the claim was lost meanwhile.
    """
    present, counters = yield from _held(claimed)
    if present is None:
        return None
    attempts = present.attempts if counts else max(0, present.attempts - 1)
    waiting = present._replace(reason=reason, next_at=until, attempts=attempts)
    if clear:
        waiting = waiting._replace(tried_at=None, mark=None)
    yield from store.put([waiting])
    yield from save_books([counters])
    return waiting


def ended(claimed: Redemption, fate: Fate, returns: bool, now: int) -> Steps[Redemption | None]:
    """Note that a reward cannot be used any more; what was not used gives its points back where it `returns` them.

    None where the claim was lost meanwhile.
    """
    present, counters = yield from _held(claimed)
    if present is None:
        return None
    used = _used_of(present, fate)
    over = present._replace(tried_at=None, mark=None, next_at=None, used_minor=used)
    # Whoever gave it back in time did so, however long the platform took to switch it off.
    lapsed = present.expires_at is not None and (present.returning_at or now) >= present.expires_at
    if fate.standing == "used" or present.state == "used":
        over = over._replace(state="used", used_at=present.used_at or now, reason=None)
    elif lapsed and not returns:
        over = over._replace(state="expired", closed_at=now, reason="it lapsed unused")
    elif used:
        # The rest was taken back, and the points with it.
        back = restored(present.points, present.value_minor, present.value_minor - used)
        over = over._replace(state="used", used_at=present.used_at or now, closed_at=now, restored=back, reason=None)
    else:
        over = over._replace(state="voided", closed_at=now, reason="it lapsed unused" if lapsed else None)
    return (yield from settled(over, counters, now))


def _used_of(present: Redemption, fate: Fate) -> int:
    """Say how much of a reward of money was used: never more than it is worth."""
    return min(max(0, fate.used_minor), present.value_minor)


def seen(merchant_id: int, fates: Mapping[int, Fate], now: int) -> Steps[None]:
    """Note of rewards of money, by number, how much of them was used; one that is gone is taken back.

    What is asked about just now is left to whoever asks.
    """
    counters = (yield from lock_books([merchant_id]))[merchant_id]
    for number, fate in sorted(fates.items()):
        present = yield from store.one(merchant_id, number)
        if present is None or present.state != "issued" or present.next_at is not None:
            continue
        known = present._replace(used_minor=_used_of(present, fate))
        if fate.standing == "used":
            known = known._replace(state="used", used_at=now)
        elif fate.standing == "gone":
            known = returning(known, now)
        if known != present:
            yield from settled(known, counters, now)


# --- What people and the clock want -------------------------------------------------------------


def cancel(merchant_id: int, number: int, customer: int | None, now: int) -> Steps[Redemption]:
    """Have an unused reward taken back at its platform; its points come back once that is done (and not before).

    `customer` limits it to one person's; None = the merchant asks. Raises Refused, in words, where there is nothing
    to take back.
    """
    counters = (yield from lock_books([merchant_id])).get(merchant_id)
    present = yield from store.one(merchant_id, number)
    if counters is None or present is None:
        raise Refused("There is no such reward.")
    if customer is not None:
        root = (yield from root_of(merchant_id, customer)) or customer
        if present.customer not in (yield from numbers_of(merchant_id, root)):
            raise Refused("There is no such reward.")
    if present.state == "returning":
        return present
    if present.state != "issued":
        raise Refused(
            {
                "asked": "This reward is being made. Try again in a moment.",
                "used": "This reward was used, so it cannot be taken back.",
            }.get(present.state, "This reward was taken back already.")
        )
    return (yield from settled(returning(present, now), counters, now))


def returning(present: Redemption, now: int) -> Redemption:
    """Say what a reward that is there is once it is to be taken back: looked at once more, and switched off."""
    return present._replace(state="returning", returning_at=now, next_at=now, attempts=0, reason=None)


def lapse(merchant_id: int, number: int, now: int) -> Steps[None]:
    """Have a reward whose time is over looked at once more, and switched off."""
    counters = (yield from lock_books([merchant_id]))[merchant_id]
    present = yield from store.one(merchant_id, number)
    if present is None or present.state != "issued" or present.next_at is not None:
        return
    yield from settled(returning(present, now), counters, now)


def give_back_all(merchant_id: int, discount: str, now: int) -> Steps[int]:
    """Have everything that is unused of one discount taken back, a part of a great many; returns how many that are."""
    yield from lock_books([merchant_id])
    return (yield from store.return_unused(merchant_id, discount, now, MOST_GIVEN_BACK))


def handed_over(merchant_id: int, number: int, now: int) -> Steps[Redemption]:
    """Note that the merchant has handed a reward over. Raises Refused where it is none that is handed over."""
    counters = (yield from lock_books([merchant_id])).get(merchant_id)
    present = yield from store.one(merchant_id, number)
    if counters is None or present is None or present.kind != "by_hand":
        raise Refused("There is no such reward to hand over.")
    if present.state == "used":
        return present
    if present.state != "issued":
        raise Refused("This reward was taken back, so it cannot be handed over.")
    return (yield from settled(present._replace(state="used", used_at=now, next_at=None), counters, now))
