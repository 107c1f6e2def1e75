"""What is opened of customers' own pages to measure them: by a letter, by a link mailed to them, at the shop's address.

Each turn is another customer of tests/benchmarks/crowd.py, who has a reward. See tests/benchmarks/addresses.py.
"""

from collections.abc import Mapping

from handlers.account.store import new_link
from handlers.merchants.door import COOKIE_ON_HTTP
from handlers.privacy.jobs import carry_out
from integration.clock import DAY
from integration.sandbox.storefront import PREFIX, forwarded
from tests.benchmarks.addresses import At, Shot, Visit, get, post
from tests.benchmarks.crowd import NOW, SHOP, shopify_id

SECRET = "a secret that Shopify and we share"
COOKIE = f"{COOKIE_ON_HTTP}-account"
FIRST = 4  # the number of the customer of the first turn, who is no debtor


def whom(visit: Visit) -> int:
    """The number of the customer of this turn."""
    return FIRST + visit.turn


def reward(visit: Visit) -> int:
    """The number of the reward this customer has."""
    return whom(visit) - 1


async def mailed(visit: Visit) -> str:
    """Return the address of a link as it is mailed."""
    context, of = visit.context, (visit.crowd.merchant_id, whom(visit), "", None)
    token = await context.database.run(lambda: new_link(*of, context.vault, context.clock.now()))
    return f"/c/open/{token}"


def opened(path: str) -> At:
    """Make an address that stands after this turn's customer opened a link of theirs."""

    async def at(visit: Visit) -> str:
        jar, number = visit.browser.cookies, whom(visit)
        if number not in visit.cookies:
            await visit.browser.post(await mailed(visit))
            visit.cookies[number] = jar[COOKIE]
        for cookie in jar.jar:
            if cookie.name == COOKIE:
                cookie.value = visit.cookies[number]
        return f"/c/account{path}".replace("{reward}", str(reward(visit)))

    return at


def signed(path: str = "", guest: bool = False, **asked: str) -> At:
    """Make an address as Shopify forwards it for this turn's customer, or for who is not signed in."""

    def at(visit: Visit) -> str:
        told = {name: each.replace("{reward}", str(reward(visit))) for name, each in asked.items()}
        now, who = visit.context.clock.now(), "" if guest else shopify_id(whom(visit))
        return f"/proxy{path}?{forwarded(SHOP, who, now, SECRET, **told)}"

    return at


def lettered(path: str = "") -> At:
    """Make an address as a letter to this turn's customer has it."""

    def at(visit: Visit) -> str:
        return visit.link("me", whom(visit), NOW + DAY) + path

    return at


async def _file(visit: Visit) -> str:
    page = await opened("")(visit)  # type: ignore[misc]
    if "data" not in visit.done:  # all asked for them a moment ago
        await carry_out(visit.context)
        visit.done.add("data")
    return await visit.found(page, "/c/account/file")


def _in_shop(name: str, path: str, on: At, guest: bool = False, **typed: str) -> Shot:
    """Post a form of a page at the shop's address."""
    shot = post(name, f"/proxy{path}", signed(path, guest), on=on, answer=200, **typed)
    return shot._replace(form=f"{PREFIX}{path}")


def _own(name: str, path: str, on: str, **typed: str) -> Shot:
    """Post a form of the page that a mailed link opens."""
    return post(name, f"/c/account{path}", opened(path), on=opened(on), answer=200, **typed)


SHOTS: tuple[Shot, ...] = (
    get("by a letter", "/c/me/{token}", lettered()),
    get("by a letter, history", "/c/me/{token}/history", lettered("/history")),
    get("by mail, opening", "/c/open/{token}", mailed),
    get("by mail", "/c/account", opened("")),
    get("by mail, history", "/c/account/history", opened("/history")),
    get("by mail, redeeming", "/c/account/redeem", opened("/redeem?reward=walk")),
    get("by mail, a reward", "/c/account/reward", opened("/reward?number={reward}")),
    get("by mail, giving back", "/c/account/return", opened("/return?number={reward}")),
    get("by mail, being forgotten", "/c/account/forget", opened("/forget")),
    get("in the shop", "/proxy", signed()),
    get("in the shop, nobody", "/proxy", signed(guest=True)),
    get("in the shop, with a stroke", "/proxy/", signed("/")),
    get("in the shop, history", "/proxy/history", signed("/history")),
    get("in the shop, redeeming", "/proxy/redeem", signed("/redeem", reward="walk")),
    get("in the shop, a reward", "/proxy/reward", signed("/reward", number="{reward}")),
    get("in the shop, giving back", "/proxy/return", signed("/return", number="{reward}")),
    get("in the shop, nothing", "/proxy/{rest:path}", signed("/nowhere"), 404),
    post("by a letter: mail a link", "/c/me/{token}/mail", lettered("/mail"), on=lettered(), answer=200),
    post("by mail: open", "/c/open/{token}", mailed),
    _own("by mail: no more letters", "/mails", ""),
    _own("by mail: language", "/language", "", wanted="de"),
    _own("by mail: birthday", "/birthday", "", day="29", month="2"),
    _own("by mail: a link for friends", "/friends", ""),
    _own("by mail: data", "/export", ""),
    get("by mail, the file", "/c/account/file", _file),
    _in_shop("in the shop: letters again", "/mails", signed()),
    _in_shop("in the shop: language", "/language", signed(), wanted="fr"),
    _in_shop("in the shop: birthday", "/birthday", signed(), day="1", month="3"),
    _in_shop("in the shop, nobody: mail a link", "/find", signed(guest=True), True, email="nobody@large.example"),
    _in_shop("in the shop: mail a link", "/mail", signed()),
    _in_shop("in the shop: give back", "/return", signed("/return", number="{reward}")),
)
LAST: tuple[Shot, ...] = (  # after it nothing is known of them
    post("by mail: forget", "/c/account/forget", opened("/forget"), answer=200, sure="yes"),
)

_WAITS = "waits until the reward is there, which a worker makes"
UNMEASURED: Mapping[tuple[str, str], str] = {
    ("POST", "/proxy/redeem"): _WAITS,
    ("POST", "/c/account/redeem"): _WAITS,
    ("POST", "/proxy/friends"): "as by mail, where each customer asks for a link once",
    ("POST", "/c/account/return"): "as at the shop's address, where each reward is given back once",
}
