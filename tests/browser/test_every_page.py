"""Every page of the app in Chromium: fit for everybody, alone and in the admin, full and empty, quick and still.

A new line in config/routes.py that answers GET needs one here:

    "/app/customers/{number}/hold": ("/app/customers/1/hold",),

The addresses land on something in the shop that tests/eventful.py makes; `EMPTY` names those that are also
looked at in a shop in which nothing has happened yet.
"""

import time
from collections.abc import Mapping

import pytest
from playwright.sync_api import Browser, Frame, Page
from starlette.routing import Route

from config.routes import ROUTES
from handlers.account.store import new_link
from integration.clock import DAY
from integration.sandbox.storefront import forwarded
from tests.browser.admin import DESKTOP, PHONE, embedded, window
from tests.browser.shop import RunningShop, painted, too_wide, violations
from tests.eventful import CODE_TO_COME, FRIENDS_CODE, FRIENDS_LINK
from tests.visits import NORA, OTTO, SECRET, SHOPS

ELSA, DEBTOR = "/app/customers/1", "/app/customers/2"

# Of the merchant, by route: addresses in Nora's shop. `{draft}` is of whoever looks.
PAGES: Mapping[str, tuple[str, ...]] = {
    "/app": ("/app",),
    "/app/programme": ("/app/programme", "/app/programme?draft={draft}"),
    "/app/programme/review/{draft}": ("/app/programme/review/{draft}",),
    "/app/programme/history": ("/app/programme/history",),
    "/app/programme/restore/{version}": ("/app/programme/restore/1",),
    "/app/programme/what-if": ("/app/programme/what-if?points=50&worth=5",),
    "/app/programme/rewards": ("/app/programme/rewards",),
    "/app/programme/rewards/{reward}": (
        "/app/programme/rewards/five",
        "/app/programme/rewards/new?kind=amount_off",
    ),
    "/app/liability": ("/app/liability", "/app/liability?value=0.01"),
    "/app/messages": ("/app/messages",),
    "/app/messages/queue": ("/app/messages/queue",),
    "/app/messages/undelivered": ("/app/messages/undelivered",),
    "/app/messages/stop/{key}": ("/app/messages/stop/thank_you:sale:92",),
    "/app/messages/pause": ("/app/messages/pause",),
    "/app/messages/resume": ("/app/messages/resume",),
    "/app/messages/words/{kind}": ("/app/messages/words/thank_you", "/app/messages/words/points_adjusted?language=fr"),
    "/app/messages/words/{kind}/reset": ("/app/messages/words/thank_you/reset?language=en",),
    "/app/connections": ("/app/connections",),
    "/app/connections/stripe": ("/app/connections/stripe",),
    "/app/connections/stripe/{connection:int}/disconnect": ("/app/connections/stripe/11/disconnect",),
    "/app/connections/domain": ("/app/connections/domain",),
    "/app/connections/data": ("/app/connections/data",),
    "/app/connections/data/{number:int}": ("/app/connections/data/3", "/app/connections/data/4"),
    "/app/connections/data/{number:int}/undo": ("/app/connections/data/4/undo",),
    "/app/customers": ("/app/customers", "/app/customers?q=elsa", "/app/customers?q=nobody"),
    "/app/customers/{number}": (ELSA, DEBTOR),
    "/app/customers/{number}/export": (f"{ELSA}/export",),
    "/app/customers/{number}/forget": (f"{ELSA}/forget",),
    "/app/customers/{number}/adjust": (f"{ELSA}/adjust", f"{ELSA}/adjust?points=-5&reason=A+gift"),
    "/app/customers/{number}/forgive": (f"{DEBTOR}/forgive",),
    "/app/customers/{number}/hold": (f"{ELSA}/hold",),
    "/app/customers/{number}/release": (f"{ELSA}/release",),
    "/app/customers/{number}/language": (f"{ELSA}/language",),
    "/app/activity": ("/app/activity", "/app/activity?state=failed"),
    "/app/activity/events/{number}": ("/app/activity/events/1", "/app/activity/events/2"),
    "/app/activity/events/{number}/body": ("/app/activity/events/1/body",),
    "/app/activity/events/{number}/replay": ("/app/activity/events/2/replay",),
    "/app/activity/replay": ("/app/activity/replay",),
    "/app/activity/recovered": ("/app/activity/recovered",),
    "/app/activity/duplicates": ("/app/activity/duplicates",),
    "/app/activity/changes": ("/app/activity/changes",),
    "/app/activity/looks": ("/app/activity/looks",),
    "/app/rewards": ("/app/rewards", "/app/rewards?q=nothing", "/app/rewards?state=open"),
    "/app/rewards/switched-off/{discount}": ("/app/rewards/switched-off/7",),
    "/app/rewards/{number}": ("/app/rewards/1", "/app/rewards/2"),
    "/app/rewards/{number}/take-back": ("/app/rewards/1/take-back",),
    "/app/friends": ("/app/friends", "/app/friends?waiting=1"),
    "/app/friends/{number}": ("/app/friends/2", "/app/friends/3"),
    "/app/requests": ("/app/requests",),
    "/app/{rest:path}": ("/app/nowhere",),
}
# Those in which something can be missing.
EMPTY = (
    "/app", "/app/programme", "/app/programme/history", "/app/programme/what-if?points=50&worth=5", "/app/messages",
    "/app/messages/queue", "/app/messages/undelivered", "/app/connections", "/app/connections/data", "/app/customers",
    "/app/activity", "/app/activity/replay", "/app/activity/recovered", "/app/activity/duplicates",
    "/app/activity/looks", "/app/requests", "/app/rewards", "/app/friends", "/app/friends?waiting=1",
)  # fmt: skip
# Those that somebody opens every day.
MAIN = (
    "/app", "/app/programme", "/app/programme/history", "/app/programme/what-if?points=50&worth=5", "/app/customers",
    ELSA, "/app/messages", "/app/messages/queue", "/app/messages/words/thank_you", "/app/activity",
    "/app/connections", "/app/connections/data", "/app/requests",
)  # fmt: skip
# Those with most to use, walked on a phone's width, too.
LONG = ("/app", "/app/programme", ELSA, "/app/messages/words/thank_you", "/app/connections/data")
LARGEST_MS, MOST_SHIFT = 1_500, 0.01
TRIES = 3  # the machine may have been busy with something else
# Before the door, and customers' own: with what is answered. `{review}`, `{unsubscribe}` and `{me}` are letters' own
# links, `{open}` is one mailed to who is then in their session, `{signed[…]}` what Shopify adds to what it forwards.
OUTSIDE: Mapping[str, tuple[tuple[str, int], ...]] = {
    "/app/sign-in": (("/app/sign-in", 200),),
    "/app/sign-in/{token}": (("{link}", 200), ("/app/sign-in/guessed", 404)),
    # A token of a shop that lets us in nowhere, and one that is refused again right after the bounce.
    "/app": (("/app?embedded=1&id_token={stranger}", 403), ("/app?embedded=1&id_token=none&bounced={now}", 401)),
    "/app/bounce": (("/app/bounce?shop=nora.myshopify.com&shopify-reload=https://evil.example/", 400),),
    "/app/install": (("/app/install?shop=", 400),),
    "/app/install/back": (("/app/install/back?code=guessed&shop=nora.myshopify.com", 400),),
    "/c/unsubscribe/{token}": (("{unsubscribe}", 200), ("/c/unsubscribe/guessed", 400)),
    "/c/friend/{code}": ((f"/c/friend/{FRIENDS_LINK}", 200), ("/c/friend/GVESSED2345678", 404)),
    "/c/welcome/{code}": ((f"/c/welcome/{FRIENDS_CODE}", 200), (f"/c/welcome/{CODE_TO_COME}", 200)),
    "/c/review/{token}": (("{review}", 200), ("/c/review/guessed", 404)),
    "/c/me/{token}": (("{me}", 200), ("{me}?language=de", 200), ("/c/me/guessed", 404)),
    "/c/me/{token}/history": (("{me}/history", 200),),
    "/c/open/{token}": (("{open}", 200), ("/c/open/guessed", 404)),
    "/c/account": (("/c/account", 200),),
    "/c/account/history": (("/c/account/history", 200),),
    "/c/account/redeem": (("/c/account/redeem?reward=five", 200), ("/c/account/redeem?reward=none", 404)),
    "/c/account/reward": (("/c/account/reward?number=1", 200),),
    "/c/account/return": (("/c/account/return?number=1", 200), ("/c/account/return?number=2", 404)),
    "/c/account/forget": (("/c/account/forget", 200),),
    "/proxy": (("/proxy?{signed[proxy]}", 200), ("/proxy?{signed[guest]}", 200), ("/proxy", 400)),
    "/proxy/": (("/proxy/?{signed[proxy]}", 200),),
    "/proxy/history": (("/proxy/history?{signed[proxy]}", 200),),
    "/proxy/redeem": (("/proxy/redeem?{signed[redeem]}", 200),),
    "/proxy/reward": (("/proxy/reward?{signed[reward]}", 200),),
    "/proxy/return": (("/proxy/return?{signed[reward]}", 200),),
    "/proxy/{rest:path}": (("/proxy/nowhere?{signed[proxy]}", 404),),
}
# What is no page: figures for operators, files, letters as they are shown within a page, and redirects.
NO_PAGES = {
    "/", "/healthz", "/readyz", "/metrics", "/app/static/{name}", "/app/connections/files/{token}",
    "/app/liability/files/{token}",
    "/app/customers/file/{token}", "/app/customers/letter/{token}", "/app/messages/letter/{token}", "/c/account/file",
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(eventful_shop: RunningShop) -> RunningShop:
    """Nora's eventful shop and Otto's empty one, for all tests of this file."""
    return eventful_shop


def test_every_page_has_its_line() -> None:
    """A page that nobody opened here may shut somebody out."""
    routes = [route for route in ROUTES if isinstance(route, Route) and "GET" in (route.methods or set())]
    assert {route.path for route in routes} == {*PAGES, *OUTSIDE, *NO_PAGES}


def hold(page: Page, address: str, complaints: list[str], status: int = 200) -> list[str]:
    """Open an address; returns what is wrong with it."""
    answer = page.goto(address)
    assert answer is not None and answer.status == status, (address, answer and answer.status)
    return looked_at(page, address, complaints, status)


def looked_at(page: Page, address: str, complaints: list[str], status: int = 200) -> list[str]:
    """Return what is wrong with a page that was opened."""
    wrong = [*violations(page), *(["it scrolls sideways"] if too_wide(page) else []), *complaints]
    complaints.clear()
    return [f"{address}: {one}" for one in wrong if status == 200 or str(status) not in one]


def without_a_cache(page: Page) -> None:
    """Let a window fetch everything anew on every page."""
    page.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})


def is_late(page: Page, address: str, status: int = 200) -> list[str]:
    """Open an address up to TRIES times; returns what kept it from standing at once."""
    found: list[str] = []
    for _ in range(TRIES):
        answer = page.goto(address)
        assert answer is not None and answer.status == status, (address, answer and answer.status)
        largest, shift = painted(page)
        assert largest > 0, address
        if largest < LARGEST_MS and shift < MOST_SHIFT:
            return []
        found.append(f"{address}: painted after {largest:.0f} ms, shifted by {shift:.4f}")
    return found


# Everything somebody can use; of several radio buttons of one name, Tab comes to one.
_USABLE = """() => {
  const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, iframe, [tabindex]")];
  window.usable = all.filter((one) => {
    if (one.disabled || one.type === "hidden" || one.tabIndex < 0 || !one.checkVisibility()) return false;
    if (one.type !== "radio") return true;
    const group = document.querySelectorAll(`input[type=radio][name="${one.name}"]`);
    const first = [...group].find((each) => each.checked) ?? group[0];
    return one === first;
  });
  return window.usable.map((one) => one.tagName === "IFRAME");
}"""
_HERE = """() => {
  const one = document.activeElement;
  if (one === document.body || one === null) return null;
  const style = getComputedStyle(one);
  const shows = one.tagName === "IFRAME" || style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1
    || style.boxShadow !== "none";
  return { place: window.usable.indexOf(one), shows, html: one.outerHTML.slice(0, 100) };
}"""
MOST_TABS = 400
# How long Tab may take from one document to another. A letter is sandboxed, in a process of its own: the focus comes
# there, and back, some time after the key was pressed, and what is pressed meanwhile is pressed in neither.
CROSSING_S = 20.0

Stop = tuple[int, int | None]  # a place on the page; in a letter, the place within it


class Walk:
    """One page, walked with Tab from its top to its end."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._letters: dict[int, Frame] = {}
        self.stops: list[Stop] = []
        for place, is_letter in enumerate(page.evaluate(_USABLE)):
            if not is_letter:
                self.stops.append((place, None))
                continue
            letter = page.evaluate_handle("(place) => window.usable[place]", place).as_element().content_frame()
            self._letters[place] = letter
            self.stops += [(place, within) for within in range(len(letter.evaluate(_USABLE)))]

    def goes_on(self, last: Stop | None, expected: Stop | None) -> tuple[Stop | None, bool, str]:
        """Press Tab; returns where that leads, whether it shows, and what is there. At the end of a page is None."""
        self._page.keyboard.press("Tab")
        here = self._here()
        crosses = any(stop is not None and stop[0] in self._letters for stop in (last, expected))
        end = time.monotonic() + CROSSING_S
        while crosses and here[0] != expected and time.monotonic() < end:
            here = self._here()
        return here

    def _here(self) -> tuple[Stop | None, bool, str]:
        found = self._page.evaluate(_HERE)
        if found is None:
            return None, True, ""
        letter = self._letters.get(found["place"])
        if letter is None:
            return (found["place"], None), found["shows"], found["html"]
        within = letter.evaluate(_HERE) or {"place": None, "shows": True, "html": found["html"]}
        return (found["place"], within["place"]), within["shows"], within["html"]


def walked(page: Page) -> list[str]:
    """Press Tab from the top of a page until it ends; returns what was passed over, unseen, or out of order."""
    walk, wrong = Walk(page), []
    places = {stop: number for number, stop in enumerate(walk.stops)}
    last = -1
    for _ in range(MOST_TABS):
        before = walk.stops[last] if last >= 0 else None
        expected = walk.stops[last + 1] if last + 1 < len(walk.stops) else None
        stop, shows, html = walk.goes_on(before, expected)
        if stop is None or (stop == walk.stops[0] and last >= 0):
            break
        if stop == before:
            continue  # between a date's fields, which show it themselves
        if not shows:
            wrong.append(f"nothing shows that one is at {html}")
        if stop != expected:
            wrong.append(f"from {before} it goes to {stop}, not to {expected}: {html}")
            if places.get(stop, -1) < last:
                return wrong
        last = places[stop]
    else:
        wrong.append("it does not end")
    return wrong if last == len(walk.stops) - 1 else [*wrong, f"it ends at {last + 1} of {len(walk.stops)}"]


def all_of(draft: int) -> list[tuple[str, int]]:
    """List the merchant's pages with their status, for whoever typed a draft."""
    addresses = [address.format(draft=draft) for several in PAGES.values() for address in several]
    return [(address, 404 if address == "/app/nowhere" else 200) for address in addresses]


def mailed(shop: RunningShop) -> str:
    """Make Elsa a fresh link, as a mail brings it."""
    vault, now = shop.house.context.vault, shop.house.clock.now()
    made = new_link(NORA, 1, "", None, vault, now)
    return f"{shop.url}/c/open/{shop.run(shop.house.database.run(lambda: made))}"


def signed(now: int) -> dict[str, str]:
    """Write queries as Shopify forwards them for Elsa, and for a guest."""
    asked: dict[str, dict[str, str]] = {
        "proxy": {},
        "guest": {},
        "redeem": {"reward": "five"},
        "reward": {"number": "1"},
    }
    return {
        name: forwarded(SHOPS[NORA], "" if name == "guest" else "70", now, SECRET, **each)
        for name, each in asked.items()
    }


def test_every_page_alone_is_for_everybody(browser: Browser, shop: RunningShop) -> None:
    """With something on each, on a screen, opened once: quick, still, nothing for axe, not too wide, walked by Tab.

    The largest part is painted within a second and a half without a cache; nobody but us is asked for anything. Tab
    comes to everything that can be used, in the order it is read in, shows where one is, and goes on.
    """
    page, complaints = shop.alone(browser, DESKTOP)
    without_a_cache(page)
    wrong = []
    for path, status in all_of(draft=7):
        address = shop.url + path
        wrong += is_late(page, address, status)
        wrong += looked_at(page, address, complaints, status)
        wrong += [f"{address}: {one}" for one in walked(page)]
    page.context.close()
    assert wrong == []


def test_main_pages_on_a_phone_stand_at_once_and_are_walked_by_keyboard(browser: Browser, shop: RunningShop) -> None:
    """On a narrow screen, too."""
    page, complaints = shop.alone(browser, PHONE)
    without_a_cache(page)
    wrong = []
    for path in MAIN:
        wrong += is_late(page, shop.url + path)
        wrong += [f"{path}: {one}" for one in walked(page)] if path in LONG else []
    page.context.close()
    assert wrong == [] and complaints == []


def test_every_page_in_the_admin_is_for_everybody(browser: Browser, shop: RunningShop) -> None:
    """With something on each, on a phone; axe finds nothing, nothing is too wide."""
    page, complaints = window(browser, PHONE, shop.url)
    admitted = embedded(page, lambda: shop.house.token())
    wrong = []
    for path, status in all_of(draft=8):
        wrong += hold(page, admitted(shop.url + path), complaints, status)
    page.context.close()
    assert wrong == []


def test_every_empty_page_is_for_everybody(browser: Browser, shop: RunningShop) -> None:
    """In a shop in which nothing has happened yet."""
    page, complaints = shop.alone(browser, PHONE, merchant=OTTO)
    wrong = [one for path in EMPTY for one in hold(page, shop.url + path, complaints)]
    page.context.close()
    assert wrong == []


def test_every_page_outside_the_door_is_for_everybody(browser: Browser, shop: RunningShop) -> None:
    """Signing in, what is refused, and what customers' own links open."""
    page, complaints = window(browser, PHONE, shop.url)
    embedded(page, lambda: shop.house.token())
    now = shop.house.clock.now()
    page.goto(mailed(shop))
    page.get_by_role("button", name="Go on").click()
    links = {
        **shop.links,
        "link": shop.link(),
        "stranger": shop.house.token("stranger.myshopify.com"),
        "now": now,
        "me": "/c/me/" + shop.house.context.vault.sign("me", NORA, 1, now + DAY),
        "open": mailed(shop),
        "signed": signed(now),
    }
    wrong = []
    for several in OUTSIDE.values():
        for path, status in several:
            address = path.format(**links)
            address = address if address.startswith("http") else shop.url + address
            wrong += hold(page, address, complaints, status)
    page.context.close()
    assert wrong == []
