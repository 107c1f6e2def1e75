"""Test letters: a merchant has one of their letters sent to themselves, with made-up facts, before anybody else."""

import asyncio
import secrets
from typing import NamedTuple

import structlog

from handlers.context import Context
from handlers.merchants.rules import Shop
from handlers.messages.kinds import Kind
from handlers.messages.letters import Words, preview
from handlers.messages.sending import addressed
from integration.channels import Refused, Unreachable
from integration.clock import HOUR
from integration.database.steps import BIG, Steps, ask, insert
from integration.errors import Rejected, Unavailable

MOST_TRIALS = 10  # of one merchant in TRIALS_WITHIN
TRIALS_WITHIN = HOUR
PATIENCE_SECONDS = 15.0  # somebody waits for the answer

log = structlog.get_logger()


class Trial(NamedTuple):
    """How a test letter fared, in words for who asked for it."""

    is_sent: bool
    words: str


def allow_trial(merchant_id: int, now: int) -> Steps[bool]:
    """Count one test letter; False = that were too many, and nothing is counted."""
    touched = yield from ask(_ALLOW, [(merchant_id, now, 1)])
    return bool(touched[0][0])


async def send_trial(context: Context, shop: Shop, kind: Kind, language: str, words: Words) -> Trial:
    """Send a letter with these words to the shop's own address, and to no other, through the real mail server.

    That address is what Shopify's signed record or the operator told. The letter says that it is a test; its link to
    stop mail names nobody. Allow it first.
    """
    if not shop.email:
        return Trial(False, "We know no address of your shop to send a test to.")
    set_ = preview(
        kind,
        words,
        language,
        shop_name=shop.name,
        timezone=shop.timezone,
        currency=shop.currency,
        now=context.clock.now(),
        unsubscribe_url=f"{context.public_url.rstrip('/')}/c/unsubscribe/"
        + context.vault.sign("unsubscribe", shop.id, 0, "trial"),
        test=True,
    )
    headers = {"Content-Language": language}
    name = f"trial-{secrets.token_hex(16)}"
    letter = addressed(context, shop.name, shop.current.messages, shop.email, set_, name, headers)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await context.channels["email"].send(letter)
    except Refused as error:
        return Trial(False, f"{shop.email} did not take it: {error}.")
    except Rejected as error:
        return Trial(False, f"It was not taken: {error}.")
    except Unreachable as error:
        return Trial(False, f"It could not be sent: {error}. Nothing else goes out at the moment either.")
    except (Unavailable, TimeoutError) as error:
        log.warning("trial_not_sent", merchant=shop.id, error=type(error).__name__)
        return Trial(False, "The mail server did not take it just now. Please try again in a few minutes.")
    return Trial(True, f"A test is on its way to {shop.email}.")


_ALLOW = insert(
    "message_trials",
    # Counted from the first of them on: in any hour at most twice as many.
    "ON CONFLICT (merchant_id) DO UPDATE SET"
    f" since_at = CASE WHEN message_trials.since_at <= excluded.since_at - {TRIALS_WITHIN}"
    " THEN excluded.since_at ELSE message_trials.since_at END,"
    f" sent = CASE WHEN message_trials.since_at <= excluded.since_at - {TRIALS_WITHIN}"
    " THEN 1 ELSE message_trials.sent + 1 END"
    f" WHERE message_trials.since_at <= excluded.since_at - {TRIALS_WITHIN}"
    f" OR message_trials.sent < {MOST_TRIALS}",
    merchant_id=BIG,
    since_at=BIG,
    sent=BIG,
)
