"""Carries requests out, part by part: each part is one transaction, and whoever comes next goes on from there."""

import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from secrets import token_hex

import structlog

from handlers.context import Context
from handlers.holders import Name, Sections, Subject
from handlers.inbox.personal import last_event, search
from handlers.merchants.books import lock_books
from handlers.privacy import kept, leaving, personal, store
from handlers.privacy.letters import bundle, ready
from handlers.privacy.rules import AGAIN, DATA, KEEP_FILES, LEAST_WORD, SHOP
from handlers.privacy.store import LostLease, Request
from handlers.sales.personal import names_of, take_addresses_out
from integration.clock import HOUR, MINUTE
from integration.database.steps import Steps, T, ask, plain
from integration.errors import Rejected, Unavailable
from integration.faults import point

RUN_SECONDS = 45.0  # of one run; the next minute's goes on
MOST_MERCHANTS = 50
MOST_REQUESTS = 100  # of one merchant, searched for together
SALES_AT_ONCE = 200
EVENTS_AT_ONCE = 200  # looked through in one go; more would keep the event loop waiting
PAGES_A_NOTE = 25  # looked through without a find before it is written down how far it has come
RETRY_AFTER = (MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR)
SALES_SHOWN = 10_000  # of one person's, in an export

_MERCHANT = plain("SELECT name, email FROM merchants WHERE id = ?1")

log = structlog.get_logger()


async def carry_out(context: Context) -> int:
    """Carry out what is due, for as long as one run may last; returns how many requests came to their end."""
    end = time.monotonic() + RUN_SECONDS
    await leaving.take_up(context)
    ended = 0
    for merchant_id in await context.database.read(lambda: store.due(context.clock.now(), MOST_MERCHANTS)):
        if time.monotonic() > end:
            break
        ended += await _of_merchant(context, merchant_id, end)
    return ended


async def prune(context: Context) -> None:
    """Delete exports nobody fetched, and seal digests' keys under the current key of SECRET_KEY."""
    now = context.clock.now()
    await context.database.run(lambda: store.prune_files(now))
    await context.database.run(lambda: store.reseal(context.vault))


async def _of_merchant(context: Context, merchant_id: int, end: float) -> int:
    token = token_hex(8)
    if not await context.database.run(lambda: store.claim(merchant_id, token, context.vault)):
        return 0
    work = Work(context, merchant_id, token, end)
    try:
        return await work.through()
    except LostLease as lost:
        log.warning("privacy_lease_lost", merchant=merchant_id, reason=str(lost))
        return work.ended
    finally:
        await context.database.run(lambda: store.let_go(merchant_id, token))


class Work:
    """One merchant's requests in hand, until a lease or the run's time ends."""

    def __init__(self, context: Context, merchant_id: int, token: str, end: float) -> None:
        self.context, self.merchant_id, self.token, self.end = context, merchant_id, token, end
        self.ended = 0

    async def through(self) -> int:
        """Take each request as far as it comes; returns how many ended."""
        now = self.context.clock.now()
        due = await self.context.database.read(lambda: store.due_of(self.merchant_id, now, MOST_REQUESTS))
        # What is to be handed over comes first: whoever it is about may be forgotten next.
        await self._together([one for one in due if one.kind == DATA])
        shops = [one for one in due if one.kind == SHOP]
        for one in shops:
            await self._tried(one, self._leave)
        if not shops:  # What else was asked may be done with the shop.
            await self._together([one for one in due if one.kind != DATA])
        return self.ended

    async def _together(self, group: Sequence[Request]) -> None:
        """Find whom requests are about, then look through kept deliveries once for all of them."""
        taken = [await self._tried(asked, self._find) for asked in group]
        searching = [one for one in taken if one is not None and one.stage == "search"]
        if searching:
            searching = await self._search(searching)
        for one in searching:
            await self._tried(one, self._end)

    @property
    def is_late(self) -> bool:
        """Tell whether the run's time is over."""
        return time.monotonic() > self.end

    async def part(self, make: Callable[[int], Steps[T]]) -> T:
        """Do one part in one transaction, with the lease held and the books locked."""
        now = self.context.clock.now()

        def steps() -> Steps[T]:
            yield from store.hold(self.merchant_id, self.token)
            yield from lock_books([self.merchant_id])
            return (yield from make(now))

        done = await self.context.database.run(steps)
        point("privacy.part")
        return done

    def forget(self, one: Request, subject: Subject, now: int) -> Steps[Request]:
        """Have every holder forget a part of somebody, and count what that removed."""
        for holder in self.context.holders:
            one = store.counted(one, holder.name, (yield from holder.forget(subject, now)))
        return one

    # --- How requests go ---

    async def _tried(self, one: Request, take: Callable[[Request], Awaitable[Request]]) -> Request | None:
        """Take a request further; one that fails is tried again later, and holds up no other."""
        try:
            return await take(one)
        except LostLease:
            raise
        except Unavailable as error:
            await self._put_off(one, str(error))
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            where = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
            log.exception("privacy_failed", merchant=self.merchant_id, request=one.id)
            # The error's own words may quote whom it is about.
            await self._put_off(one, f"{type(error).__name__}{where}")
        return None

    async def _put_off(self, one: Request, reason: str) -> None:
        pause = RETRY_AFTER[min(one.attempts, len(RETRY_AFTER) - 1)]

        def later(now: int) -> Steps[Request]:
            # As it stands by now: parts of it may have been done since.
            stands = (yield from store.request(one.id)) or one
            return (
                yield from store.write(
                    stands._replace(attempts=stands.attempts + 1, next_at=now + pause, reason=reason, waits_until=None)
                )
            )

        await self.part(later)

    async def _leave(self, one: Request) -> Request:
        done = await leaving.leave(self, one)
        self.ended += done.done_at is not None
        return done

    async def _find(self, one: Request) -> Request:
        """Find whom a request is about; whoever is to be forgotten is taken out of the books here."""
        if one.kind == AGAIN and one.stage == "find" and not one.numbers:
            one = await kept.whoever_is_back(self, one)
        while one.stage == "find" and not self.is_late and one.next_at <= self.context.clock.now():
            make = partial(_collect if one.kind == DATA else _forget_some, self, one)
            one = await self.part(make)
        return one

    async def _search(self, group: Sequence[Request]) -> list[Request]:
        """Look through kept deliveries for all these people at once; returns those whose search has ended."""
        requests = {one.id: one for one in group}
        wanted: dict[bytes, set[int]] = {}
        for one in group:
            known = await self.context.database.read(lambda r=one: store.names(r.merchant_id, r.id))  # type: ignore[misc]
            for kind, value in known:
                if kind != "event" and len(value) >= LEAST_WORD:
                    wanted.setdefault(value.strip().lower().encode(), set()).add(one.id)
        words = frozenset(wanted)
        after, until = min(one.searched for one in group), max(one.search_until for one in group)
        pages, is_over = 0, False
        while not is_over and not self.is_late:
            page = await self.context.database.read(
                lambda after=after: search(self.merchant_id, words, after, until, EVENTS_AT_ONCE)  # type: ignore[misc]
            )
            pages += 1
            is_over, after = page.last is None, page.last or until
            if page.found or is_over or pages % PAGES_A_NOTE == 0:
                hits: dict[int, set[int]] = {}
                for event, met in page.found.items():
                    for number in set().union(*(wanted[word] for word in met)):
                        hits.setdefault(number, set()).add(event)
                await self._note(requests, hits, after)
        if not is_over:
            await self._note(requests, {}, after)
        return [one for one in requests.values() if is_over]

    async def _note(self, requests: dict[int, Request], hits: dict[int, set[int]], after: int) -> None:
        """Write down how far a search has come, and do with what was found as each request wants."""

        def note(now: int) -> Steps[Request]:
            for number, before in sorted(requests.items()):
                one = before._replace(searched=max(after, before.searched))
                events = tuple(sorted(hits.get(number, ())))
                if events and one.kind == DATA:
                    yield from store.keep_names(number, [("event", str(event)) for event in events])
                elif events:
                    one = yield from self.forget(one, Subject(self.merchant_id, events=events), now)
                moved[number] = yield from store.write(one)
            return one

        moved: dict[int, Request] = {}
        await self.part(note)
        requests.update(moved)

    async def _end(self, one: Request) -> Request:
        """Do what is left of a request, and leave a receipt."""
        if one.kind == DATA:
            return await self._hand_over(one)
        while True:
            before = one
            one = await self.part(partial(_forget_rest, self, one))
            if one.removed == before.removed:
                break
        if (waiting := await self.part(partial(personal.wait_a_little, one))) is not None:
            return waiting
        one = await self.part(partial(personal.give_codes_up, one))
        files = leaving.delete_shelves(self.context, self.merchant_id)
        done = store.counted(one, "files", files)
        done = await self.part(lambda now: store.finish(done, "done", now))
        self.ended += 1
        log.info("privacy_done", merchant=self.merchant_id, request=one.id, kind=one.kind)
        return done

    async def _hand_over(self, one: Request) -> Request:
        """Make the export ready for the merchant, and tell them so."""
        database, now = self.context.database, self.context.clock.now()
        (shop_name, address), *_ = await database.read(lambda: ask(_MERCHANT, (self.merchant_id,)))
        sections = await database.read(lambda: exported(self.context, one))
        file = bundle(one, shop_name, sections, now)

        def keep(now: int) -> Steps[Request]:
            yield from store.keep_file(one, file, now, now + KEEP_FILES)
            return one

        await self.part(keep)
        reason = None
        if address and one.told_at is None:
            letter = ready(one, shop_name, address, self.context.mail_from, self.context.public_url)
            try:
                await self.context.channels["email"].send(letter)
            except Rejected:
                reason = "the file is ready, but the merchant's mailbox refused the mail that says so"
        elif not address:
            reason = "the file is ready; no address of the merchant is known to say so to"
        told = one._replace(told_at=now)
        done = await self.part(lambda now: store.finish(told, "done", now, reason))
        self.ended += 1
        return done


def exported(context: Context, one: Request) -> Steps[Sections]:
    """Gather what every holder keeps of whom a request is about."""
    named = yield from store.names(one.merchant_id, one.id)
    names = tuple(name for name in named if name[0] != "event")
    sales = yield from personal.named_sales(one.merchant_id, names)
    events = tuple(int(value) for kind, value in named if kind == "event")
    subject = Subject(one.merchant_id, one.numbers, names, tuple(sorted(sales)[:SALES_SHOWN]), events)
    sections: dict[str, list[dict[str, object]]] = {}
    for holder in context.holders:
        sections.update((yield from holder.export(subject)))
    return sections


# --- Parts --------------------------------------------------------------------------------------


def _collect(work: Work, one: Request, now: int) -> Steps[Request]:
    """Find whom an export is about, and everything that names them and what they bought."""
    asked = yield from store.names(one.merchant_id, one.id)
    found = yield from personal.find(one.merchant_id, asked, one.numbers)
    sales = yield from personal.sales_of(one.merchant_id, found, SALES_SHOWN)
    yield from store.keep_names(one.id, found.names)
    yield from store.keep_names(one.id, (yield from names_of(one.merchant_id, sales.own)))
    until = yield from last_event(one.merchant_id)
    return (yield from store.write(one._replace(numbers=found.numbers, stage="search", search_until=until)))


def _forget_some(work: Work, one: Request, now: int) -> Steps[Request]:
    """Take a person out of some of their sales; out of everything else once no sale tells of them any more.

    Until then they are who they were, so that what is settled meanwhile is settled to them.
    """
    merchant_id = one.merchant_id
    key = yield from store.key_of(merchant_id, work.context.vault)
    found = yield from personal.find(merchant_id, (yield from store.names(one.merchant_id, one.id)), one.numbers)
    one = one._replace(numbers=found.numbers)
    waiting = yield from personal.put_off(one, found, now)
    if waiting is not None:
        return waiting
    one = one._replace(reason=None, waits_until=None)
    yield from store.keep_names(one.id, found.names)
    sales = yield from personal.sales_of(merchant_id, found, SALES_AT_ONCE)
    if sales.own or sales.others:
        names = tuple((yield from names_of(merchant_id, sales.own)))
        yield from store.keep_names(one.id, names)
        yield from _bury(work, one, key, dict.fromkeys(names), now)
        one = yield from work.forget(one, Subject(merchant_id, names=names, sales=sales.own), now)
        gone = frozenset(name for name in found.names if name[0] in ("email", "phone"))
        yield from take_addresses_out(merchant_id, sales.others, gone)
        behind = yield from personal.left_behind(merchant_id, sales.own)
        return (yield from store.write(one._replace(numbers=tuple(sorted({*one.numbers, *behind})))))
    notes = yield from personal.notes(merchant_id, found)
    # Orders nobody has told of yet are kept away as well.
    marked: dict[Name, str | None] = {name: notes.get(name) for name in found.names}
    yield from _bury(work, one, key, marked, now)
    one = yield from work.forget(one, Subject(merchant_id, found.numbers, found.names), now)
    until = yield from last_event(merchant_id)
    return (yield from store.write(one._replace(stage="search", search_until=until)))


def _forget_rest(work: Work, one: Request, now: int) -> Steps[Request]:
    """Forget what has come to the person's numbers since, such as the receipt of a mail that was on its way."""
    names = tuple((yield from store.names(one.merchant_id, one.id)))
    return (yield from store.write((yield from work.forget(one, Subject(one.merchant_id, one.numbers, names), now))))


def _bury(work: Work, one: Request, key: bytes, names: dict[Name, str | None], now: int) -> Steps[None]:
    # What comes back with a backup was forgotten long before: what was bought since stays.
    yield from store.bury(one.merchant_id, key, names, now, only_new=one.kind == AGAIN)
