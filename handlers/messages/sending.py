"""Sends what is due: claims it, looks whether it may still go out, hands it to its channel, records what happened."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
import structlog
from structlog.contextvars import bound_contextvars

from handlers.context import Context
from handlers.merchants.books import shops
from handlers.merchants.rules import Messages, Program, Shop
from handlers.messages import outbox
from handlers.messages.holding import HELD, HELD_LOOK, HELD_PATIENCE
from handlers.messages.kinds import Content, Kind, Occasion, kept
from handlers.messages.lastlook import LastLooks, Ready, refused_by
from handlers.messages.letters import Set, locale_name, set_letter
from handlers.messages.outbox import Due, Later, Never
from handlers.messages.people import Past, Person, load
from handlers.messages.permission import refuse
from handlers.messages.restored import IN_DOUBT, is_in_doubt, restored_at
from handlers.messages.rules import (
    MOST_ATTEMPTS,
    NO_ADDRESS_PATIENCE,
    NO_ADDRESS_PAUSE,
    Place,
    capped_until,
    language,
    pause,
    permitted_at,
    shown,
)
from handlers.messages.stopping import PAUSED, PAUSED_LOOK, held_back
from handlers.messages.zones import zone, zone_of
from integration import meters, tracing
from integration.channels import Letter, Refused, Unreachable
from integration.clock import DAY, MINUTE, SECOND
from integration.database.steps import Steps
from integration.errors import Rejected, Unavailable
from integration.faults import point

BATCH = 50  # messages claimed at once
SENDING_AT_ONCE = 8
ACCOUNT_LINK_LIFE = 90 * DAY  # looking is all it allows
SPARE = MINUTE  # a claim with less left is not used any more
RECORD_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # in seconds, before a receipt is written again

log = structlog.get_logger()


@dataclass(slots=True)
class Round:
    """One claim and what is known while it is worked."""

    token: str
    good_until: float  # by this process's clock that nobody sets
    down: Unreachable | None = None  # the channel cannot be reached: do not try the others


class Turn:
    """Whose messages come first in the next claim: those of merchants behind this one."""

    def __init__(self) -> None:
        self.after = 0


async def send_due(context: Context, limit: int = BATCH, turn: Turn | None = None) -> int:
    """Send what is due, some `limit` messages, fair between merchants; returns how many were looked at.

    A crash between the server's 250 and our commit sends a message again under the same Message-ID.
    """
    now = context.clock.now()
    if not await context.database.read(lambda: outbox.anything_due(now)):
        return 0
    turn = turn or Turn()
    this = Round(secrets.token_hex(8), time.monotonic() + (outbox.LEASE - SPARE) / SECOND)
    due, turn.after = await context.database.run(lambda: outbox.claim(this.token, now, limit, turn.after))
    if not due:
        return 0
    ready = await context.database.run(lambda: _look(context, due, this.token, now))
    seats = asyncio.Semaphore(SENDING_AT_ONCE)

    async def one(item: Ready, looks: LastLooks) -> None:
        async with seats:
            try:
                await _send(context, item, this, looks)
            except Unavailable as error:
                # Its claim runs out by itself. The others are on their way: cut off, they would go out again.
                log.warning("message_left", merchant=item.message.merchant_id, key=item.message.key, reason=str(error))
            except Exception:
                log.exception("message_left", merchant=item.message.merchant_id, key=item.message.key)

    async with asyncio.TaskGroup() as group:
        looks = LastLooks(context.database, this.token, group)
        for item in ready:
            group.create_task(one(item, looks))
    return len(due)


# --- Looking: may it go out now? ----------------------------------------------------------------


def _look(context: Context, due: Sequence[Due], token: str, now: int) -> Steps[list[Ready]]:
    """Sort claimed messages into those that may go out and those that wait or never will."""
    known = yield from shops({message.merchant_id for message in due})
    keys = {(message.merchant_id, message.customer) for message in due if message.customer is not None}
    people = yield from load(keys, now, token)
    restored = yield from restored_at()
    paused = yield from held_back(shop.id for shop in known.values() if shop.paused_at is not None)
    ready: list[Ready] = []
    decided: list[tuple[Due, Later | Never]] = []
    for message in due:
        person = people.get((message.merchant_id, message.customer or 0))
        shop = known.get(message.merchant_id)
        verdict: Ready | Later | Never
        if message.merchant_id in paused and shop is not None and shop.closed_at is None:
            verdict = Later(now + PAUSED_LOOK, PAUSED)
        else:
            verdict = _decide(context, message, shop, person, now, restored)
        if isinstance(verdict, Ready):
            ready.append(verdict)
            if person is not None and not verdict.kind.transactional and not message.test:
                person.past.append(Past(message.kind, now))
        else:
            decided.append((message, verdict))
    yield from outbox.settle(decided, token, now)
    return ready


def _decide(
    context: Context, message: Due, shop: Shop | None, person: Person | None, now: int, restored: int | None
) -> Ready | Later | Never:
    kind = context.kinds.get(message.kind)
    version = shop.version_at(now) if shop is not None else None
    if shop is None or version is None or kind is None:
        return Never("cancelled", "the shop or this kind of message does not exist any more")
    if shop.closed_at is not None:
        return Never("cancelled", "the shop has left")
    if message.attempts > MOST_ATTEMPTS:
        return Never("failed", f"it could not be sent in {MOST_ATTEMPTS} attempts")
    if person is None:
        return Never("cancelled", "the person is not known any more")
    if reason := kind.off(version.program):
        return Never("cancelled", reason)
    try:
        occasion = occasion_of(_links(context), message, shop, version.program, person, now)
    except msgspec.DecodeError:
        # Of one message, which must not hold up the others.
        return Never("failed", "what is kept of it cannot be read")
    if is_in_doubt(message, restored, version.program.messages, occasion.timezone):
        return Never("cancelled", IN_DOUBT)
    if message.test:
        if not shop.email:
            return Never("cancelled", "it is a test order, and no address of the shop is known")
        return Ready(message, kind, occasion, shop.email)
    if refusal := refused_by(kind, person, occasion, version.program.messages):
        return refusal
    if person.held_at is not None:
        if now - message.due_at > HELD_PATIENCE:
            return Never("cancelled", "it was held back for more than thirty days")
        return Later(now + HELD_LOOK, HELD)
    if not person.email:
        if now - message.due_at > NO_ADDRESS_PATIENCE:
            return Never("cancelled", "no mail address became known")
        return Later(now + NO_ADDRESS_PAUSE, "no mail address is known yet")
    if wait := _wait(context.kinds, kind, occasion, version.program.messages, now):
        return wait
    return Ready(message, kind, occasion, person.email)


def _links(context: Context) -> Callable[..., str]:
    def link(page: str, *parts: str | int) -> str:
        return f"{context.public_url.rstrip('/')}/c/{page}/{context.vault.sign(page, *parts)}"

    return link


def occasion_of(
    link: Callable[..., str], message: Due, shop: Shop, program: Program, person: Person, now: int
) -> Occasion:
    """Say who is written to, where they are and what they read; `link` makes the addresses in the letter."""
    place = msgspec.json.decode(message.details, type=Place)
    locale = person.locale or place.locale
    country = place.country or person.country
    where = zone_of(country, place.region if place.country else person.region) or zone(shop.timezone)
    chosen = language(locale, country or shop.country)
    return Occasion(shop, program, message, person, chosen, locale_name(locale, chosen), where.key, now, link)


def _wait(kinds: Mapping[str, Kind], kind: Kind, occasion: Occasion, settings: Messages, now: int) -> Later | None:
    """Say how long it waits for the cap and the send window, and why; None = it goes now."""
    until, reasons = now, []
    if not kind.transactional:
        counted = [
            past.at
            for past in occasion.person.past
            if (known := kinds.get(past.kind)) is None or not known.transactional
        ]
        until = capped_until(counted, now, settings)
        if until > now:
            reasons.append("they were written to recently")
    where = zone(occasion.timezone)
    opens = permitted_at(until, settings.window, where)
    if opens > until:
        reasons.append(f"the send window is {settings.window}")
    if opens <= now:
        return None
    return Later(opens, f"{' and '.join(reasons)}: it goes out at {shown(opens, where)}")


# --- Sending ------------------------------------------------------------------------------------


async def _send(context: Context, item: Ready, this: Round, looks: LastLooks) -> None:
    """Write one letter, hand it over, and record what became of it."""
    message = item.message
    with bound_contextvars(merchant=message.merchant_id, message=message.key):
        began = context.clock.now()
        verdict = await _hand_over(context, item, this, looks)
        _trace(message, this.token, verdict, began, context.clock.now())
        if verdict is None:
            return
        if isinstance(verdict, Never) and verdict.state == "failed":
            log.warning("message_failed")
        now = context.clock.now()
        await context.database.run(lambda: outbox.settle([(message, verdict)], this.token, now))


def _trace(message: Due, token: str, verdict: Later | Never | None, began: int, ended: int) -> None:
    """Tell of an attempt in the trace of the event the message comes from, or, of none that was traced, in its own."""
    if not tracing.is_on():
        return
    own = tracing.root(f"message\0{message.merchant_id}\0{message.key}", token)
    if isinstance(verdict, Later):
        outcome = "failed_for_now" if verdict.counts else "put_off"
    else:
        outcome = "sent" if verdict is None else verdict.state
    tracing.record(
        "send",
        tracing.step(message.trace, "send", message.merchant_id, message.key, token) or own,
        message.trace,
        began,
        ended,
        error=outcome if outcome.startswith("failed") else None,
        merchant=message.merchant_id,
        message=message.key,
        kind=message.kind,
        channel=message.channel,
        attempt=message.attempts,
        outcome=outcome,
    )


async def _hand_over(context: Context, item: Ready, this: Round, looks: LastLooks) -> Later | Never | None:
    """Send one letter; None = it went out and that is recorded."""
    message, now = item.message, context.clock.now()
    if this.down is not None:
        return Later(now + pause(1), str(this.down))
    if time.monotonic() > this.good_until:
        return Later(now, "its turn did not come in time")
    try:
        content = await looks.at(item)
        if not isinstance(content, Content):
            return content
        letter = _letter(context, item, content)
        point("send.before")
        receipt = await context.channels[message.channel].send(letter)
        point("send.accepted")
    except Refused as error:
        said = str(error)
        meters.MESSAGES.labels(message.channel, "refused").inc()
        await context.database.run(lambda: refuse(message.merchant_id, item.address, said, now))
        return Never("failed", f"the mailbox refused it for good: {error}")
    except Rejected as error:
        meters.MESSAGES.labels(message.channel, "rejected").inc()
        return Never("failed", str(error))
    except Unavailable as error:
        meters.MESSAGES.labels(message.channel, "unavailable").inc()
        if isinstance(error, Unreachable):
            this.down = error
            # What it said may quote an address; the doctor asks it again.
            log.warning("mail_server_away")
        return Later(now + max(pause(message.attempts), int((error.retry_after or 0) * 1_000_000)), str(error), True)
    except Exception as error:
        # A fault of ours in one letter must not hold up the others; it is seen in the log and in the reason.
        meters.MESSAGES.labels(message.channel, "fault").inc()
        log.exception("letter_not_written")
        return Later(now + pause(message.attempts), f"it could not be written: {type(error).__name__}", True)
    answer, sent_at = receipt.answer, context.clock.now()
    said = kept(content, item.occasion.language)
    await _written_down(context, lambda: outbox.sent(message, item.address, answer, sent_at, said, content.then))
    point("send.recorded")
    meters.MESSAGES.labels(message.channel, "sent").inc()
    return None


async def _written_down(context: Context, make: Callable[[], Steps[None]]) -> None:
    """Record that a letter went out, although the database may be away for a while: else it would go out again."""
    for seconds in RECORD_PAUSES:
        try:
            return await context.database.run(make)
        except Unavailable as error:
            log.warning("receipt_waits", reason=str(error))
            await asyncio.sleep(seconds)
    return await context.database.run(make)


def _letter(context: Context, item: Ready, content: Content) -> Letter:
    message, occasion = item.message, item.occasion
    settings = occasion.program.messages
    url = None
    headers = {}
    if not item.kind.transactional:
        # A merchant who tries the link in test mail must not silence a customer.
        whom = 0 if message.test else occasion.person.number
        url = occasion.link("unsubscribe", message.merchant_id, whom, message.key)
        headers = {
            "List-Unsubscribe": f"<{url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",  # RFC 8058
        }
    words = set_letter(
        content,
        shop_name=occasion.shop.name,
        language=occasion.language,
        unsubscribe_url=url,
        account_url=_account(occasion),
        test=bool(message.test),
    )
    headers["Content-Language"] = occasion.language
    name = message_name(message.merchant_id, message.key)
    return addressed(context, occasion.shop.name, settings, item.address, words, name, headers)


def _account(occasion: Occasion) -> str | None:
    """Return the link to the reader's own page, where there is something to see on it; a test names no customer."""
    program = occasion.program
    if occasion.message.test or not (program.earning.enabled or program.rewards.enabled):
        return None
    return occasion.link("me", occasion.shop.id, occasion.person.number, occasion.now + ACCOUNT_LINK_LIFE)


def addressed(
    context: Context,
    shop_name: str,
    settings: Messages,
    recipient: str,
    words: Set,
    name: str,
    headers: Mapping[str, str],
) -> Letter:
    """Put a letter that is set into its envelope: from the merchant, to a bare address, under a name of its own."""
    host = urlsplit(context.public_url).hostname or "localhost"
    return Letter(
        sender=str(settings.from_address or context.mail_from or f"no-reply@{host}"),
        sender_name=settings.from_name or shop_name,
        recipient=recipient,
        subject=words.subject,
        text=words.text,
        html=words.html,
        message_id=f"{name}@{host}",
        reply_to=str(settings.reply_to) if settings.reply_to else None,
        headers=headers,
    )


def message_name(merchant_id: int, key: str) -> str:
    """Name a message the same way at every attempt, without telling what the key is made of."""
    return hashlib.sha256(f"message {merchant_id} {key}".encode()).hexdigest()[:32]
