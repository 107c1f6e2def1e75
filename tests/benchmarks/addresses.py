"""What is opened of a large merchant's pages to measure them: a line each, every route of config/routes.py in it.

A new page is a line in `SHOTS`, with an address that lands on something of tests/benchmarks/crowd.py:

    get("one, forgetting", "/app/customers/{number}/forget", lambda v: f"{v.customer}/forget"),

A form that changes one thing, and can be sent again and again, is filled in as it stands on its page and posted:

    post("one, holding", "/app/customers/{number}/hold", lambda v: f"{v.customer}/hold"),

What is not measured stands in `UNMEASURED` with the reason.
"""

import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

from handlers.context import Context
from handlers.merchants.sessions import new_link
from handlers.messages.stopping import pause, resume
from handlers.privacy.jobs import carry_out
from integration.clock import DAY
from tests.benchmarks.crowd import AMISS_EVERY, BUSY, INDEBTED_EVERY, NOW, SHOP, Crowd, email_of, friends_code, name_of
from tests.forms import fields_of

WORDS = "/app/messages/words/thank_you"
FILE_OF = 3  # the customer whose data are in a file


@dataclass(slots=True)
class Visit:
    """A merchant's browser, and the dice that say what it opens next."""

    context: Context
    browser: httpx.AsyncClient
    crowd: Crowd
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    turn: int = 0
    done: set[str] = field(default_factory=set)
    cookies: dict[int, str] = field(default_factory=dict)  # of customers who are in, by their numbers

    @property
    def number(self) -> int:
        """The number of some customer, not the busiest."""
        return self.dice.randint(2, self.crowd.customers)

    @property
    def customer(self) -> str:
        """The address of some customer's page."""
        return f"/app/customers/{self.number}"

    @property
    def debtor(self) -> str:
        """The address of the page of somebody who owes points, another at each turn."""
        return f"/app/customers/{INDEBTED_EVERY * (1 + self.turn % (self.crowd.customers // INDEBTED_EVERY))}"

    @property
    def amiss(self) -> str:
        """The address of an event that was given up, another at each turn."""
        return f"/app/activity/events/{AMISS_EVERY * (1 + self.turn % max(1, self.crowd.events // AMISS_EVERY))}"

    @property
    def waiting(self) -> str:
        """The address of a note that waits, another at each turn."""
        return f"/app/messages/stop/thank_you:sale:{self.crowd.waiting - self.turn}"

    @property
    def names(self) -> tuple[str, str]:
        """Somebody's names."""
        return name_of(self.dice.randint(1, self.crowd.customers))

    @property
    def unsubscribing(self) -> str:
        """The link in some note that was sent."""
        sale = self.dice.randint(1, self.crowd.waiting)
        return self.link("unsubscribe", self.number, f"thank_you:sale:{sale}")

    @property
    def reviewing(self) -> str:
        """The link to a form nobody has answered, another at each turn."""
        return self.link("review", self.crowd.sales - self.turn, NOW // DAY)

    def link(self, page: str, *parts: str | int) -> str:
        """Return the address of a customer's page."""
        return f"/c/{page}/{self.context.vault.sign(page, self.crowd.merchant_id, *parts)}"

    async def found(self, page: str, pattern: str) -> str:
        """Return the address that a page leads to."""
        answer = await self.browser.get(page)
        address = re.search(f'"({pattern}[^"]+)"', answer.text)
        if address is None:
            raise LookupError(f"{page} ({answer.status_code}) leads to no {pattern}…")
        return address[1]

    async def fields(self, page: str, action: str) -> dict[str, str]:
        """Return what stands in a form."""
        answer = await self.browser.get(page)
        try:
            return fields_of(answer.text, action)
        except LookupError as error:
            raise LookupError(f"On {page} ({answer.status_code}) {error}.") from None

    async def send(self, page: str, action: str, **typed: str) -> str:
        """Fill in a form and post it; returns where that leads."""
        answer = await self.browser.post(action, data={**await self.fields(page, action), **typed})
        if answer.status_code != 303:
            raise LookupError(f"{action} answers {answer.status_code}, and leads nowhere")
        return answer.headers["location"]

    async def reviewed(self) -> str:
        """Type a change to the programme; returns the address of its review."""
        typed = {"messages.from_name": f"Large Shop {self.dice.random()}", "earning.hold_days": str(self.turn % 90)}
        return (await self.send("/app/programme", "/app/programme", **typed)).partition("?")[0]

    async def typed(self) -> str:
        """Type a change to the programme and look at its preview; returns the address of the page."""
        typed = {"messages.from_name": f"Large Shop {self.dice.random()}", "do": "preview"}
        return await self.send("/app/programme", "/app/programme", **typed)

    async def uploaded(self) -> str:
        """Upload a small file of balances; returns the address of the import."""
        page = "/app/connections/data"
        answer = await self.browser.post(page, data=await self.fields(page, page), files=balances(self))
        return answer.headers["location"].partition("?")[0]

    async def with_words(self) -> str:
        """Type words of a note that are not saved."""
        await self.send(WORDS, WORDS, subject=f"Thank you, {self.dice.random()}")
        await self.browser.post(f"{WORDS}/preview", data={**await self.fields(WORDS, WORDS), "subject": "Thanks"})
        return WORDS

    async def paused(self, *, to_be: bool) -> None:
        """Have all messages held back, or not."""
        merchant = self.crowd.merchant_id
        await self.context.database.run(lambda: pause(merchant, NOW) if to_be else resume(merchant))

    async def one_time_link(self) -> str:
        """Return the address of a link that signs in."""
        now, merchant = self.context.clock.now(), self.crowd.merchant_id
        token = await self.context.database.run(lambda: new_link(merchant, "link:owner", self.context.vault, now))
        return f"/app/sign-in/{token}"

    async def signs_in(self) -> None:
        """Sign in by a link of its own."""
        answer = await self.browser.post(await self.one_time_link())
        if answer.status_code != 303:
            raise LookupError(f"signing in was answered with {answer.status_code}")

    async def with_file(self) -> str:
        """Have a customer's data put into a file, once; returns the address of their page."""
        page = f"/app/customers/{FILE_OF}"
        if "file" not in self.done:
            await self.send(f"{page}/export", f"{page}/export")
            await carry_out(self.context)
            self.done.add("file")
        return page


At = Callable[[Visit], str | Awaitable[str]]
Typed = Callable[[Visit], Mapping[str, str]]


class Shot(NamedTuple):
    """One thing that is measured."""

    name: str
    method: str
    route: str  # as config/routes.py has it
    at: At
    answer: int
    on: At | None = None  # the page a posted form stands on, where it is another one
    typed: Typed = lambda _: {}
    files: Callable[[Visit], Any] | None = None
    form: str | None = None  # whose fields are sent, where it is another one's action
    bare: bool = False  # posted without a form


def get(name: str, route: str, at: At | None = None, answer: int = 200) -> Shot:
    """Open a page; without `at` the route is the address."""
    return Shot(name, "GET", route, at or (lambda _: route), answer)


def post(
    name: str, route: str, at: At | None = None, /, *, on: At | None = None, answer: int = 303, **typed: str
) -> Shot:
    """Send a form from the page at `on`, or at the address it is posted to; `{n}` in what is typed is the turn."""
    to = at or (lambda _: route)

    def fill(visit: Visit) -> dict[str, str]:
        return {key.replace("__", "."): text.replace("{n}", str(visit.turn)) for key, text in typed.items()}

    return Shot(name, "POST", route, to, answer, on, fill)


def balances(visit: Visit) -> Any:
    """Write a file of a hundred balances, another at each turn."""
    lines = [f"{email_of(n)},{n + visit.turn}" for n in range(1, 101)]
    return {"file": (f"smile-{visit.dice.random()}.csv", "email,points\n" + "\n".join(lines), "text/csv")}


async def _unpaused(visit: Visit) -> str:
    await visit.paused(to_be=False)
    return "/app/messages/pause"


async def _paused(visit: Visit) -> str:
    await visit.paused(to_be=True)
    return "/app/messages/resume"


async def _signed_in(visit: Visit) -> str:
    await visit.signs_in()
    return "/app/sign-out"


async def _letter_of_customer(visit: Visit) -> str:
    return await visit.found(f"/app/customers/{BUSY}", "/app/customers/letter/")


async def _file_of_customer(visit: Visit) -> str:
    return await visit.found(await visit.with_file(), "/app/customers/file/")


def _forgetting(visit: Visit) -> Mapping[str, str]:
    return {"typed": email_of(10 + visit.turn)}


SHOTS: tuple[Shot, ...] = (
    get("home", "/app"),
    get("programme", "/app/programme"),
    get("programme, typed before", "/app/programme", lambda v: v.typed()),
    get("programme, history", "/app/programme/history"),
    get("programme, reviewing", "/app/programme/review/{draft}", lambda v: v.reviewed()),
    get("programme, undoing", "/app/programme/restore/{version}", lambda v: "/app/programme/restore/1"),
    get("programme, what if", "/app/programme/what-if"),
    get("programme, kinds of rewards", "/app/programme/rewards"),
    get("programme, one reward", "/app/programme/rewards/{reward}", lambda v: "/app/programme/rewards/walk"),
    get("liability", "/app/liability", lambda v: "/app/liability?value=0.01"),
    get(
        "liability, months",
        "/app/liability/files/{token}",
        lambda v: v.found("/app/liability?value=0.01", "/app/liability/files/"),
    ),
    get("messages", "/app/messages"),
    get("messages, queue", "/app/messages/queue"),
    get(
        "messages, queue of one kind",
        "/app/messages/queue",
        lambda v: "/app/messages/queue?kind=thank_you&state=scheduled",
    ),
    get("messages, stopping one", "/app/messages/stop/{key}", lambda v: v.waiting),
    get("messages, pausing", "/app/messages/pause"),
    get("messages, resuming", "/app/messages/resume"),
    get("messages, not delivered", "/app/messages/undelivered"),
    get("messages, words", "/app/messages/words/{kind}", lambda v: WORDS),
    get("messages, our words again", "/app/messages/words/{kind}/reset", lambda v: f"{WORDS}/reset"),
    get(
        "messages, how words look",
        "/app/messages/letter/{token}",
        lambda v: v.found(WORDS, "/app/messages/letter/"),
    ),
    get("connections", "/app/connections"),
    get("connections, Stripe", "/app/connections/stripe"),
    get(
        "connections, parting with Stripe",
        "/app/connections/stripe/{connection:int}/disconnect",
        lambda v: f"/app/connections/stripe/{v.crowd.stripe}/disconnect",
    ),
    get("connections, domain", "/app/connections/domain"),
    get("connections, data", "/app/connections/data"),
    get("connections, one import", "/app/connections/data/{number:int}", lambda v: "/app/connections/data/3"),
    get(
        "connections, undoing an import",
        "/app/connections/data/{number:int}/undo",
        lambda v: "/app/connections/data/3/undo",
    ),
    get("activity", "/app/activity"),
    get("activity, amiss", "/app/activity", lambda v: "/app/activity?state=amiss"),
    get("activity, of a rare kind", "/app/activity", lambda v: "/app/activity?state=unhandled"),
    get(
        "activity, by order",
        "/app/activity",
        lambda v: f"/app/activity?q=%23{v.dice.randint(max(1, v.crowd.sales - 10**5), v.crowd.sales)}",
    ),
    get("activity, by nothing", "/app/activity", lambda v: f"/app/activity?q=zz{v.dice.randint(1, 10**6)}"),
    get(
        "activity, one event",
        "/app/activity/events/{number}",
        lambda v: f"/app/activity/events/{v.dice.randint(1, v.crowd.events)}",
    ),
    get("activity, what it said", "/app/activity/events/{number}/body", lambda v: f"{v.amiss}/body"),
    get("activity, replaying one", "/app/activity/events/{number}/replay", lambda v: f"{v.amiss}/replay"),
    get("activity, replaying all", "/app/activity/replay"),
    get("activity, recovered", "/app/activity/recovered"),
    get("activity, duplicates", "/app/activity/duplicates"),
    get("activity, changes", "/app/activity/changes"),
    get("activity, looks", "/app/activity/looks"),
    get("rewards", "/app/rewards"),
    get("rewards, halfway", "/app/rewards", lambda v: f"/app/rewards?before={v.crowd.rewards // 2}"),
    get("rewards, by code", "/app/rewards", lambda v: f"/app/rewards?q=walk{v.dice.randint(1, v.crowd.rewards):06}"),
    get("rewards, not used yet", "/app/rewards", lambda v: f"/app/rewards?state=issued&before={v.crowd.rewards}"),
    get("one reward", "/app/rewards/{number}", lambda v: f"/app/rewards/{v.dice.randint(1, v.crowd.rewards)}"),
    get(
        "one reward, taking back",
        "/app/rewards/{number}/take-back",
        lambda v: f"/app/rewards/{v.dice.randint(1, v.crowd.rewards)}/take-back",
    ),
    get("rewards, giving back", "/app/rewards/switched-off/{discount}", lambda v: "/app/rewards/switched-off/1"),
    get("requests", "/app/requests"),
    get("customers, latest", "/app/customers"),
    get("customers, by first name", "/app/customers", lambda v: f"/app/customers?q={v.names[0]}"),
    get("customers, by surname", "/app/customers", lambda v: f"/app/customers?q={v.names[1][:4]}"),
    get("customers, by one letter", "/app/customers", lambda v: f"/app/customers?q={v.dice.choice('abcdefghijklm')}"),
    get("customers, by address", "/app/customers", lambda v: f"/app/customers?q={email_of(v.number)}"),
    get("customers, by order", "/app/customers", lambda v: f"/app/customers?q=%23{v.dice.randint(1, v.crowd.sales)}"),
    get("customers, nobody", "/app/customers", lambda v: f"/app/customers?q=zz{v.dice.randint(1, 10**6)}"),
    get("one customer", "/app/customers/{number}", lambda v: v.customer),
    get("one with 5,000 items", "/app/customers/{number}", lambda v: f"/app/customers/{BUSY}"),
    get(
        "one with 5,000, halfway",
        "/app/customers/{number}",
        lambda v: f"/app/customers/{BUSY}?before={NOW - NOW // 110}.points.0",
    ),
    get(
        "one, adjusting",
        "/app/customers/{number}/adjust",
        lambda v: f"{v.customer}/adjust?points=5&reason=x",
    ),
    get("one, forgiving", "/app/customers/{number}/forgive", lambda v: f"{v.debtor}/forgive?reason=x"),
    get("one, holding", "/app/customers/{number}/hold", lambda v: f"{v.customer}/hold"),
    get("one, letting go", "/app/customers/{number}/release", lambda v: f"{v.customer}/release"),
    get("one, language", "/app/customers/{number}/language", lambda v: f"{v.customer}/language"),
    get("one, forgetting", "/app/customers/{number}/forget", lambda v: f"{v.customer}/forget"),
    get("one, handing over", "/app/customers/{number}/export", lambda v: f"/app/customers/{BUSY}/export"),
    get("one, a letter", "/app/customers/letter/{token}", _letter_of_customer),
    get("one, a file of all data", "/app/customers/file/{token}", _file_of_customer),
    get("nothing here", "/app/{rest:path}", lambda v: "/app/nowhere", 404),
    get("front", "/", answer=302),
    get("bounce", "/app/bounce", lambda v: f"/app/bounce?shop={SHOP}&shopify-reload=/app"),
    get("install", "/app/install", lambda v: f"/app/install?shop={SHOP}", 302),
    get("a style sheet", "/app/static/{name}", lambda v: v.found("/app", "/app/static/")),
    get("sign in, by a link", "/app/sign-in/{token}", lambda v: v.one_time_link()),
    get("unsubscribing", "/c/unsubscribe/{token}", lambda v: v.unsubscribing),
    get("friends", "/app/friends"),
    get("friends, later", "/app/friends", lambda v: f"/app/friends?before={v.crowd.friends}"),
    get("friends who wait", "/app/friends", lambda v: "/app/friends?waiting=1"),
    get("one friend", "/app/friends/{number}", lambda v: f"/app/friends/{v.dice.randint(1, v.crowd.friends)}"),
    get("a friend's page", "/c/friend/{code}", lambda v: f"/c/friend/{friends_code(1 + v.turn % 100)}"),
    get("a friend's code", "/c/welcome/{code}", lambda v: f"/c/welcome/{friends_code(1 + v.turn % 100)}"),
    get("reviewing", "/c/review/{token}", lambda v: v.reviewing),
    get("alive", "/healthz"),
    get("ready", "/readyz"),
    get("metrics", "/metrics"),
    # Forms: each changes one thing. Friends come first: which programme is in force is changed below.
    post("friend: a code", "/c/friend/{code}", lambda v: f"/c/friend/{friends_code(1 + v.turn % v.crowd.friends)}"),
    post("programme: preview", "/app/programme", on=lambda v: "/app/programme", do="preview", earning__hold_days="9"),
    post(
        "programme: preview while typing",
        "/app/programme/preview",
        on=lambda v: "/app/programme",
        answer=200,
        earning__hold_days="9",
    )._replace(form="/app/programme"),
    post(
        "programme: one reward",
        "/app/programme/rewards/{reward}",
        lambda v: "/app/programme/rewards/walk",
        name="W {n}",
    ),
    post(
        "programme: preview of a reward while typing",
        "/app/programme/rewards/{reward}/preview",
        lambda v: "/app/programme/rewards/walk/preview",
        on=lambda v: "/app/programme/rewards/walk",
        answer=200,
        name="W {n}",
    )._replace(form="/app/programme/rewards/walk"),
    post("programme: save", "/app/programme/review/{draft}", lambda v: v.reviewed()),
    post("programme: undo", "/app/programme/restore/{version}", lambda v: f"/app/programme/restore/{1 + v.turn % 2}"),
    post("messages: stop one", "/app/messages/stop/{key}", lambda v: v.waiting),
    post("messages: pause", "/app/messages/pause", _unpaused),
    post("messages: resume", "/app/messages/resume", _paused),
    post("words: save", "/app/messages/words/{kind}", lambda v: WORDS, subject="Thank you, {n}"),
    post(
        "words: preview while typing",
        "/app/messages/words/{kind}/preview",
        lambda v: f"{WORDS}/preview",
        on=lambda v: WORDS,
        subject="Thank you",
    ),
    post("words: test", "/app/messages/words/{kind}/test", lambda v: f"{WORDS}/test", on=lambda v: WORDS),
    post(
        "words: discard",
        "/app/messages/words/{kind}/discard",
        lambda v: f"{WORDS}/discard",
        on=lambda v: v.with_words(),
    ),
    post("words: ours again", "/app/messages/words/{kind}/reset", lambda v: f"{WORDS}/reset"),
    post("data: look at a file", "/app/connections/data")._replace(files=balances),
    post("data: forget a file", "/app/connections/data/{number:int}", lambda v: v.uploaded(), act="drop"),
    post("activity: replay one", "/app/activity/events/{number}/replay", lambda v: f"{v.amiss}/replay"),
    post("friend: let count", "/app/friends/{number}", lambda v: f"/app/friends/{5 + 5 * v.turn}", do="allow"),
    post("rewards: give back", "/app/rewards/switched-off/{discount}", lambda v: "/app/rewards/switched-off/1"),
    post(
        "reward: hand over",
        "/app/rewards/{number}",
        lambda v: f"/app/rewards/{v.crowd.rewards - v.turn}",
        do="handed-over",
    ),
    post(
        "one: adjust",
        "/app/customers/{number}/adjust",
        lambda v: f"/app/customers/{20 + v.turn}/adjust",
        on=lambda v: f"/app/customers/{20 + v.turn}/adjust?points=5&reason=x",
    ),
    post(
        "one: forgive",
        "/app/customers/{number}/forgive",
        lambda v: f"{v.debtor}/forgive",
        on=lambda v: f"{v.debtor}/forgive?reason=x",
    ),
    post("one: hold", "/app/customers/{number}/hold", lambda v: f"/app/customers/{20 + v.turn}/hold"),
    post("one: let go", "/app/customers/{number}/release", lambda v: f"/app/customers/{20 + v.turn}/release"),
    post("one: language", "/app/customers/{number}/language", lambda v: f"{v.customer}/language", language="de"),
    post("one: hand over", "/app/customers/{number}/export", lambda v: f"/app/customers/{60 + v.turn}/export"),
    post("one: forget", "/app/customers/{number}/forget", lambda v: f"/app/customers/{10 + v.turn}/forget")._replace(
        typed=_forgetting
    ),
    post("unsubscribe", "/c/unsubscribe/{token}", lambda v: v.unsubscribing, answer=200),
    post("come back", "/c/unsubscribe/{token}/undo", lambda v: f"{v.unsubscribing}/undo", answer=200)._replace(
        bare=True
    ),
    post(
        "not arrived yet",
        "/c/review/{token}/later",
        lambda v: f"{v.reviewing}/later",
        on=lambda v: v.reviewing,
        answer=200,
    ),
    post("write a review", "/c/review/{token}", lambda v: v.reviewing, answer=200)._replace(
        typed=lambda v: {"stars-1": "5", "words-1": "Very good tea."}
    ),
    post("sign in: by a link", "/app/sign-in/{token}", lambda v: v.one_time_link()),
    post("sign out", "/app/sign-out", _signed_in, on=lambda v: "/app"),
    get("sign in", "/app/sign-in"),
    post("sign in: ask", "/app/sign-in", answer=200, email="nobody@shop.example"),
)

UNMEASURED: Mapping[tuple[str, str], str] = {
    ("POST", "/app/rewards/look"): "waits for Shopify's answer",
    ("GET", "/app/connections/files/{token}"): "streams all there is: as long as the shop is large, piece by piece",
    ("GET", "/app/install/back"): "waits for Shopify's answer",
    ("POST", "/app/connections/stripe"): "waits for Stripe's answers",
    ("POST", "/app/connections/stripe/{connection:int}/repair"): "waits for Stripe's answers",
    ("POST", "/app/connections/stripe/{connection:int}/disconnect"): "waits for Stripe's answer, and is done once",
    ("POST", "/app/activity/replay"): "replays whatever there is, some at a time, and is done once",
}
