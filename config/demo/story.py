"""The demo's story, played without a person: what happened, what the program made of it, and whether it is right.

Every number is read from the running program, over the same paths its commands use; the expected ones are
worked out here by hand, in the comments.
"""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from config.demo.cast import SHOP_NAME
from config.demo.world import World
from integration.clock import DAY, HOUR
from integration.sandbox.delivery import Delivery
from integration.sandbox.sender import Attempt

POINTS = ("available", "pending", "held")
OK = 200
AGAIN = " seen before"
MOST_LISTED = 4


class Differs(Exception):
    """The program's numbers are not the story's; the message is the sentence that says where."""


@dataclass(slots=True)
class Scene:
    """One thing that happened, and how things stood once the program had come to rest."""

    what: str
    webhooks: list[str]
    points: dict[str, int]
    mails: list[str]  # subjects of mails that came since the scene before
    note: str = ""


@dataclass(slots=True)
class Account:
    """The story as it went."""

    scenes: list[Scene] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)  # what was found right at the end
    differed: str | None = None
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The account for programs."""
        return {
            "right": self.differed is None,
            "differed": self.differed,
            "seconds": self.seconds,
            "scenes": [
                {
                    "what": scene.what,
                    "webhooks": scene.webhooks,
                    "points": scene.points,
                    "mails": scene.mails,
                    "note": scene.note,
                }
                for scene in self.scenes
            ],
            "checks": self.checks,
        }

    def print(self, console: Console) -> None:
        """The account for people."""
        table = Table(title="One order at Marlow & Finch, from basket to regular", title_justify="left")
        table.add_column("What happened", ratio=4)
        table.add_column("Signed webhooks, all answered 200", ratio=3)
        table.add_column("Available", justify="right")
        table.add_column("Pending", justify="right")
        table.add_column("Mail that went out", ratio=3)
        for scene in self.scenes:
            table.add_row(
                scene.what + (f"\n[dim]{scene.note}[/dim]" if scene.note else ""),
                _short(scene.webhooks) or "[dim]none: only the clock moved[/dim]",
                str(scene.points.get("available", 0)),
                str(scene.points.get("pending", 0)),
                "\n".join(scene.mails) or "[dim]–[/dim]",
            )
        console.print(table)
        for check in self.checks:
            console.print(f"[green]✓[/green] {check}")
        if self.differed is None:
            console.print(f"\nAll as it should be, in {self.seconds:.1f} seconds.")
        else:
            console.print(f"\n[red]Not as it should be:[/red] {self.differed}")


class Stage:
    """Plays scenes in a world and holds what comes of them to what should."""

    def __init__(self, world: World, account: Account) -> None:
        self.world = world
        self.account = account
        self.ana = world.people[0]
        self._mails = 0

    async def scene(
        self,
        what: str,
        deliveries: list[Delivery],
        *,
        available: int,
        pending: int,
        mails: tuple[str, ...] = (),
        passed: int = 0,
        note: str = "",
    ) -> None:
        """Let time pass, deliver webhooks, wait for rest, and insist on points and mails (by kind)."""
        if passed:
            await self.world.pass_time(passed)
        attempts = await self.world.tell(deliveries)
        await self.world.settled()
        shown = await self.world.account_of(self.ana.email or "")
        points = {name: shown.get("points", {}).get(name, 0) for name in POINTS}
        fresh = self.world.mailbox.mails[self._mails :]
        self._mails = len(self.world.mailbox.mails)
        told = [_told(attempt) for attempt in attempts]
        self.account.scenes.append(Scene(what, told, points, [mail.subject for mail in fresh], note))
        _insist(what, "every delivery is answered with 200", {each.status for each in attempts} <= {OK})
        _insist(what, f"{available} points are available", points["available"] == available, points)
        _insist(what, f"{pending} points are pending", points["pending"] == pending, points)
        kinds = tuple(each["kind"] for each in shown.get("messages", []) if each["state"] == "sent")
        expected = self._sent + mails
        _insist(what, f"the mails sent so far are {_list(expected)}", sorted(kinds) == sorted(expected), kinds)
        _insist(what, f"{len(mails)} mails arrived", len(fresh) == len(mails), [mail.subject for mail in fresh])
        self._sent = expected

    _sent: tuple[str, ...] = ()


async def play(world: World) -> Account:
    """Play the story; the account says what differed, where something did."""
    account = Account()
    stage = Stage(world, account)
    try:
        await _first_order(stage)
        await _second_order(stage)
        await _books(stage)
    except Differs as difference:
        account.differed = str(difference)
    return account


async def _first_order(stage: Stage) -> None:
    """Goods of $50.00 at 3 points a dollar: 150 points, 75 after half was given back."""
    shop, ana = stage.world.shop, stage.ana
    darjeeling, cup = stage.world.products[:2]
    order, told = shop.place(ana, [(darjeeling, 1), (cup, 1)], shipping_minor=5_00)
    await stage.scene("Ana orders tea and a cup, $50.00 and shipping", told, available=0, pending=0)
    first = list(told)
    first += (told := shop.pay(order))
    await stage.scene("She pays", told, available=0, pending=150, mails=("thank_you",))
    first += (told := shop.ship(order))
    await stage.scene("The parcel is handed over", told, available=0, pending=150, passed=DAY)
    first += (told := shop.deliver(order))
    await stage.scene("It arrives", told, available=0, pending=150, passed=DAY)
    await stage.scene("Ten days pass", [], available=0, pending=150, mails=("review_request",), passed=10 * DAY + HOUR)
    first += (told := shop.refund(order, amount_minor=25_00))
    await stage.scene("Half the goods' money goes back", told, available=0, pending=75)
    await stage.scene(
        "The return window ends",
        [],
        available=75,
        pending=0,
        # Seven days after the request she is reminded once, as she has not answered.
        mails=("review_reminder",),
        passed=19 * DAY,
    )
    again = stage.world.sender.arrange(first, shuffled=1.0)
    await stage.scene(
        "Everything is delivered again, in any order",
        again,
        available=75,
        pending=0,
        note="as platforms do after a timeout: nothing happens twice",
    )


async def _second_order(stage: Stage) -> None:
    """Goods of $32.00, of which $16.00 go back: 48 points, whichever webhook comes first."""
    shop, ana = stage.world.shop, stage.ana
    order, told = shop.place(ana, [(stage.world.products[1], 1)], shipping_minor=5_00)
    told += shop.pay(order)
    told += shop.refund(order, amount_minor=16_00)
    backwards = told[::-1]
    await stage.scene(
        "A second order, told backwards: its refund first",
        backwards + backwards,
        available=75,
        pending=48,
        mails=("thank_you",),
        passed=DAY,
        note="each webhook twice",
    )


async def _books(stage: Stage) -> None:
    """Hold the program's own proofs against the end of the story."""
    world = stage.world
    forged = _forged(world.sender.history[-1].delivery)
    attempt = await world.sender.attempt(forged)
    _insist("A forged webhook", "it is answered with 401", attempt.status == 401, attempt.status)
    stage.account.checks.append("A webhook changed after signing was answered with 401, and nothing was kept.")
    findings = await world.house.audit(world.merchant)
    _insist("The audit", "it finds no drift", not findings.drifts, findings.drifts)
    stage.account.checks.append("The audit recomputed every balance from the ledger and every sale's target: no drift.")
    commanded = await world.house.command("customer", "show", stage.ana.email or "", "--merchant", SHOP_NAME)
    points, shown = commanded["points"], stage.account.scenes[-1].points
    _insist("regulars customer show", f"it shows {shown}", {k: points[k] for k in POINTS} == shown, points)
    stage.account.checks.append("regulars customer show, another process, reads the same balance.")
    sent = len(world.sender.history)
    mails = len(world.mailbox.mails)
    stage.account.checks.append(f"{sent} deliveries over HTTP, {mails} mails over SMTP, each mail once.")
    ids = [mail.message_id for mail in world.mailbox.mails]
    _insist("The mailbox", "no mail came twice", len(set(ids)) == len(ids), ids)


def _forged(delivery: Delivery) -> Delivery:
    """The same delivery under a new id, one byte longer than what was signed."""
    return Delivery(
        delivery.source,
        delivery.topic,
        f"{delivery.id}-forged",
        delivery.path,
        delivery.body + b" ",
        {**delivery.headers, "X-Shopify-Webhook-Id": f"{delivery.id}-forged"},
    )


def _short(webhooks: list[str]) -> str:
    """The deliveries of a scene in a few lines."""
    if len(webhooks) <= MOST_LISTED:
        return "\n".join(webhooks)
    again = sum(each.endswith(AGAIN) for each in webhooks)
    return f"{len(webhooks)} deliveries, {again} of them{AGAIN}"


def _told(attempt: Attempt) -> str:
    """One delivery in a line."""
    status = "" if attempt.status == OK else f" → {attempt.status or 'no answer'}"
    return f"{attempt.delivery.topic}{status}{AGAIN if attempt.number > 1 else ''}"


def _insist(where: str, what: str, held: bool, instead: object = None) -> None:
    if not held:
        raise Differs(f"{where}: {what} was expected{'' if instead is None else f', but it is {instead}'}.")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
