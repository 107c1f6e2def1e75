"""Looks at everything the program stands on, piece by piece, and says of each whether it is well and what to do."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from config import migrate
from config.settings import Settings
from handlers.context import Context
from handlers.inbox.keys import Key
from handlers.merchants.stripe_accounts import not_well
from handlers.watch.rules import SILENT_AFTER, Counted, Finding, judge
from handlers.watch.store import Login, Readings, Sign, forget, logins, signs, take_readings, tell
from integration.clock import SECOND
from integration.database.engine import address
from integration.database.steps import Steps, ask, plain
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.shopify.grants import NotInstalled
from integration.vault import Unsealable

CHECK_SECONDS = 15.0  # for each piece; one that is silent is broken, and the others are still looked at
MOST_LOGINS = 100  # connections whose token is tried
LOGINS_AT_ONCE = 8
LEAST_FREE_BYTES = 100_000_000
FEW_FREE_BYTES = 1_000_000_000
SKEW_SEEN, SKEW_HARMFUL = 2 * SECOND, 60 * SECOND

_DATABASE_CLOCK = plain("SELECT 0", postgres="SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)")
_SIZE = plain(
    "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    postgres="SELECT pg_database_size(current_database())",
)


def of_settings(loaded: Settings) -> list[Finding]:
    """Name what is not set and what that means; nothing here is broken, for every variable may be left out."""
    missing = {
        "SHOPIFY_API_KEY": (loaded.shopify_api_key, "No shop can install the app or open its pages without it."),
        "SHOPIFY_API_SECRET": (loaded.shopify_secrets, "Shopify's webhooks are refused without it."),
        "SMTP_URL": (loaded.smtp_url, "Mail is kept in memory and not sent without it."),
        "MAIL_FROM": (loaded.mail_from, "Mail needs an address to come from."),
        "PUBLIC_URL": (loaded.public_url, "Links in mail lead to localhost without it."),
        "SECRET_KEY": (loaded.secret_key, f"A key of its own making is kept in {loaded.data_dir}."),
    }
    todo = "Set it in .env or the environment; .env.example explains it."
    return [
        Finding(name, "warning", f"not set. {words}", todo) for name, (value, words) in missing.items() if not value
    ]


def of_disk(loaded: Settings) -> Finding:
    """See how much room is left where files are kept."""
    free = shutil.disk_usage(loaded.data_dir if loaded.data_dir.exists() else loaded.data_dir.parent).free
    words = f"{free / 1e9:.1f} GB free in {loaded.data_dir}."
    todo = "Make room or enlarge the volume: without any, deliveries are answered with 503."
    if free < LEAST_FREE_BYTES:
        return Finding("disk", "broken", words, todo)
    return Finding("disk", "warning", words, todo) if free < FEW_FREE_BYTES else Finding("disk", "ok", words)


def unreachable(loaded: Settings, error: Unavailable) -> Finding:
    """Say what to do about a database that does not answer."""
    return Finding("database", "broken", str(error), _database_todo(loaded))


async def of_engines(context: Context, loaded: Settings) -> AsyncIterator[Finding]:
    """Look at everything that takes an opened context; what hangs on the database is left out where that is away."""
    database = await _looked("database", lambda: _database(context), _database_todo(loaded))
    yield database
    if database.state != "broken":
        schema = await _looked("schema", lambda: _schema(loaded), "Run `regulars migrate`.")
        yield schema
        if schema.state != "broken":
            yield await _looked("writing", lambda: _writing(context), _database_todo(loaded))
            yield await _looked("clock", lambda: _clock(context), "Start the time service (NTP) here.")
    yield await _looked("queue", lambda: _queue(context, loaded), "See whether Redis runs and REDIS_URL is right.")
    yield await _looked("mail", lambda: _mail(context, loaded), "See whether SMTP_URL is right and its server up.")
    if database.state != "broken" and schema.state != "broken":
        async for finding in _logins(context):
            yield finding
        for finding in await _endpoints(context):
            yield finding
        for finding in await _counted(context):
            yield finding


async def _looked(name: str, look: Callable[[], Awaitable[Finding]], todo: str) -> Finding:
    """Look at one piece within its time; what fails is a finding, told by its type where it is not in our words."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await look()
    except TimeoutError:
        return Finding(name, "broken", f"No answer within {CHECK_SECONDS:g} seconds.", todo)
    except OutsideError as error:
        return Finding(name, "broken", str(error), todo)
    except Exception as error:  # noqa: BLE001 - a doctor that dies of a symptom tells nothing; it is told instead
        return Finding(name, "broken", f"It failed ({type(error).__name__}).", todo)


def _database_todo(loaded: Settings) -> str:
    if (loaded.database_url or "sqlite").startswith("sqlite"):
        return "See whether the disk is full or read-only, and whether this account may write to DATA_DIR."
    return "See whether PostgreSQL runs and takes connections from here, and whether DATABASE_URL is right."


async def _database(context: Context) -> Finding:
    began = asyncio.get_running_loop().time()
    await context.database.ping()
    took = (asyncio.get_running_loop().time() - began) * 1000
    size = (await context.database.read(lambda: ask(_SIZE, ())))[0][0]
    engine = "SQLite" if context.database.dialect == "sqlite" else "PostgreSQL"
    return Finding("database", "ok", f"{engine} answers in {took:.0f} ms; it holds {size / 1e6:.0f} MB.")


async def _schema(loaded: Settings) -> Finding:
    changes = await asyncio.to_thread(migrate.differences, address(loaded.database_url, loaded.data_dir))
    if not changes:
        return Finding("schema", "ok", "The tables are as this release needs them.")
    # What is there and not declared belongs to a newer release, which adds before it removes.
    if all(_is_more(change) for change in changes):
        words = "The database is of a newer release; this one works with it for now."
        return Finding("schema", "warning", words, "Start the newer release here as well.")
    return Finding("schema", "broken", "The database is not up to date: run `regulars migrate`.", "")


def _is_more(change: Any) -> bool:
    return isinstance(change, tuple) and str(change[0]).startswith("remove_")


async def _writing(context: Context) -> Finding:
    def write() -> Steps[None]:
        yield from tell("doctor", "writes", context.clock.now())
        yield from forget("doctor", "writes")

    await context.database.run(write)
    return Finding("writing", "ok", "The database takes writes.")


async def _clock(context: Context) -> Finding:
    if context.database.dialect == "sqlite":
        return Finding("clock", "ok", "The database has this machine's own.")
    before = context.clock.now()
    there = (await context.database.read(lambda: ask(_DATABASE_CLOCK, ())))[0][0]
    after = context.clock.now()
    skew = max(before - there, there - after, 0)
    words = f"{skew / SECOND:.1f} seconds apart from the database's."
    todo = "Start the time service (NTP) here: Stripe's signatures and all due times go by this clock."
    if skew > SKEW_HARMFUL:
        return Finding("clock", "broken", words, todo)
    return Finding("clock", "warning", words, todo) if skew > SKEW_SEEN else Finding("clock", "ok", words)


async def _queue(context: Context, loaded: Settings) -> Finding:
    if context.queue.redis is None and not loaded.redis_url:
        # The embedded server comes and goes with `serve`.
        words = "Regulars is not running, or runs without its embedded Valkey."
        return Finding("queue", "warning", words, "Start `regulars serve`.")
    await context.queue.ping()
    return Finding("queue", "ok", "Redis answers.")


async def _mail(context: Context, loaded: Settings) -> Finding:
    if not loaded.smtp_url:
        return Finding("mail", "ok", "Mails are kept in memory, as no SMTP_URL is set.")
    await context.channels["email"].greet()
    return Finding("mail", "ok", "The mail server talks to us and takes our name and password; nothing was sent.")


# --- Credentials --------------------------------------------------------------------------------


async def _logins(context: Context) -> AsyncIterator[Finding]:
    """Try the token of every connection that has one; shops that are well are told as one line."""
    known = await context.database.read(lambda: logins(MOST_LOGINS))
    seats = asyncio.Semaphore(LOGINS_AT_ONCE)

    async def one(login: Login) -> Finding:
        async with seats:
            name = f"{login.platform} of {login.merchant}"
            return await _looked(name, lambda: _login(context, login, name), "Try again later.")

    found = await asyncio.gather(*(one(login) for login in known))
    well = sum(finding.state == "ok" for finding in found)
    if well:
        yield Finding("credentials", "ok", f"{well} of {len(found)} tokens and keys of merchants are accepted.")
    for finding in found:
        if finding.state != "ok":
            yield finding


async def _login(context: Context, login: Login, name: str) -> Finding:
    key = Key(context, login.connection)
    again = f"Give a new token or key with `regulars merchant {login.platform} {login.merchant!r}`."
    if login.is_installed:
        again = "It is given again when the merchant opens Regulars in Shopify's admin."
    try:
        if login.platform == "stripe":
            await context.stripe.ping(await key())
        else:
            await context.shopify.ping(login.account, key)
    except Unsealable:
        todo = "Put the SECRET_KEY back that was used when it was given (an older one behind a comma)."
        return Finding(name, "broken", "Its token cannot be decrypted with SECRET_KEY.", todo)
    except Revoked as error:
        return Finding(name, "broken", f"{error}.", f"Orders are still worked from webhooks. {again}")
    except NotInstalled as error:
        todo = "See SHOPIFY_API_KEY and SHOPIFY_API_SECRET; if they are right, the shop has uninstalled the app."
        return Finding(name, "broken", f"{error}.", todo)
    except Rejected as error:
        return Finding(name, "warning", f"{error}.", "See the app's scopes, or the restricted key's permissions.")
    except Unavailable as error:
        todo = "What needs it is tried again by itself. If it lasts, see the platform's status page."
        return Finding(name, "warning", f"{error}.", todo)
    if login.problem is not None:
        words = f"Accepted, but it could not be renewed: {login.problem}."
        return Finding(
            name, "warning", words, "It is tried again by itself. If it lasts, see the platform's status page."
        )
    return Finding(name, "ok", "Accepted.")


async def _endpoints(context: Context) -> list[Finding]:
    """Name Stripe accounts whose webhook endpoint is not as we made it, or not made yet."""
    todo = "Its merchant sets it up again, or gives a new key, on the page Connections."
    return [
        Finding(f"webhook of {account}", "warning", f"{merchant}: {reason or 'it is not set up yet'}.", todo)
        for merchant, account, reason in await context.database.read(lambda: not_well(MOST_LOGINS))
    ]


# --- What is counted ----------------------------------------------------------------------------


async def _counted(context: Context) -> list[Finding]:
    now = context.clock.now()
    readings = await context.database.read(lambda: take_readings(now))
    backups = await context.database.read(lambda: signs("backup"))
    return list(judge(counted(readings, backups, now)))


def counted(read: Readings, backups: tuple[Sign, ...], now: int) -> Counted:
    """Turn readings into the plain numbers that are judged."""
    lost = [sign.name for sign in read.processes if now - sign.at >= SILENT_AFTER]
    due = [one.due_since for one in read.backlog.values() if one.due_since is not None]
    return Counted(
        backlog=sum(one.waiting for one in read.backlog.values()),
        backlog_age=now - min(due) if due else 0,
        retrying=sum(one.retrying for one in read.backlog.values()),
        dead_letters=sum(read.dead_letters.values()),
        last_dead_age=None if read.last_dead_at is None else now - read.last_dead_at,
        unknown_events=read.unknown_events,
        messages_failed=read.messages.get("failed", 0),
        message_age=0 if read.message_due_since is None else now - read.message_due_since,
        settlements_retrying=read.settlements.get("retrying", 0),
        settlements_given_up=read.settlements.get("given_up", 0),
        quiet=sum(read.quiet.values()),
        rewards=sum(read.rewards.values()),
        reward_age=0 if read.reward_waits_since is None else now - read.reward_waits_since,
        friends=sum(read.friends.values()),
        friend_age=0 if read.friend_waits_since is None else now - read.friend_waits_since,
        privacy=sum(read.privacy.values()),
        privacy_left=None if read.privacy_due_at is None else read.privacy_due_at - now,
        workers=len(read.processes) - len(lost),
        workers_lost=lost,
        audited=read.audits.merchants,
        drifts=read.audits.drifts,
        audit_age=None if read.audits.oldest_at is None else now - read.audits.oldest_at,
        backup_age=now - max(sign.at for sign in backups) if backups else None,
    )
