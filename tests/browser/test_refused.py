"""Every form of the app filled in wrongly, in Chromium: the answer says what to do where it is to be done.

A new line in config/routes.py that takes a POST needs one here: what is typed wrong in which form, or, where nothing
can be, one in `NOTHING_TYPED`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page
from starlette.routing import Route

from config.routes import ROUTES
from tests.browser.admin import DESKTOP, PHONE, window
from tests.browser.shop import RunningShop, too_wide, violations
from tests.browser.test_every_page import DEBTOR, ELSA, mailed

ALL = "*"  # every field that takes words
ODD = "×"  # no number, no day, no address


class Form(NamedTuple):
    """A form of a page, what is typed into it by field, and what is pressed."""

    page: str
    typed: Mapping[str, str]
    press: str
    marks: bool = True  # a field is marked; else the page says it as a whole


FORMS: Mapping[str, tuple[Form, ...]] = {
    "/app/programme": (Form("/app/programme", {ALL: ODD}, "Review changes"),),
    "/app/programme/rewards/{reward}": (
        Form("/app/programme/rewards/new?kind=amount_off", {ALL: ODD}, "Review changes"),
        Form("/app/programme/rewards/new?kind=by_hand", {ALL: ""}, "Review changes"),
    ),
    "/app/messages/words/{kind}": (Form("/app/messages/words/thank_you", {"subject": "{nobody}"}, "Save"),),
    "/app/messages/words/{kind}/test": (
        Form("/app/messages/words/review_request", {"body": "{nobody}"}, "Send a test to owner1@shop.example"),
    ),
    "/app/connections/stripe": (Form("/app/connections/stripe", {"key": "sk_live_" + "0" * 24}, "Connect"),),
    "/app/connections/data": (Form("/app/connections/data", {}, "Look at the file"),),
    "/app/customers/{number}/adjust": (
        Form(f"{ELSA}/adjust", {"points": ODD}, "Go on to the preview"),
        Form(f"{ELSA}/adjust", {}, "Go on to the preview"),
    ),
    "/app/customers/{number}/forgive": (Form(f"{DEBTOR}/forgive", {}, "Go on to the preview"),),
    "/app/customers/{number}/forget": (Form(f"{ELSA}/forget", {"typed": ODD}, "Forget them for good"),),
    "/app/customers/{number}/language": (Form(f"{ELSA}/language", {"language": ODD}, "Save"),),
    "/app/sign-in": (Form("/app/sign-in", {"email": ODD}, "Mail me a link"),),
    "/c/review/{token}": (Form("{review}", {}, "Send my review", marks=False),),
    "/c/account/forget": (Form("/c/account/forget", {}, "Forget me for good"),),
    # These only look, and change nothing.
    "GET": (
        Form("/app/liability", {ALL: ODD}, "Look again"),
        Form("/app/programme/what-if", {ALL: ODD}, "Estimate"),
    ),
}
NOTHING_TYPED = {
    "/app/programme/rewards/{reward}/preview",
    "/app/programme/preview", "/app/messages/words/{kind}/preview",  # what is typed so far, right or not
    "/app/programme/review/{draft}",  # who keeps a tier: test_tiers.py
    "/app/programme/restore/{version}", "/app/messages/stop/{key}", "/app/messages/pause", "/app/messages/resume",
    "/app/messages/words/{kind}/discard", "/app/messages/words/{kind}/reset",
    "/app/connections/stripe/{connection:int}/repair", "/app/connections/stripe/{connection:int}/disconnect",
    "/app/connections/data/{number:int}", "/app/customers/{number}/export", "/app/customers/{number}/hold",
    "/app/customers/{number}/release", "/app/activity/events/{number}/replay", "/app/activity/replay",
    "/app/rewards/{number}", "/app/rewards/look", "/app/rewards/switched-off/{discount}", "/app/friends/{number}",
    "/app/sign-in/{token}", "/app/sign-out", "/c/open/{token}",
    "/c/friend/{code}",
    "/c/unsubscribe/{token}", "/c/unsubscribe/{token}/undo", "/c/review/{token}/later", "/c/me/{token}/mail",
    # Customers' choices: of what the page lists, or of a press; test_account.py has what they are told.
    "/c/account/friends", "/proxy/friends",
    "/c/account/redeem", "/c/account/return", "/c/account/mails", "/c/account/language", "/c/account/birthday",
    "/c/account/export", "/proxy/redeem", "/proxy/return", "/proxy/mails", "/proxy/language", "/proxy/birthday",
    "/proxy/find", "/proxy/mail",
}  # fmt: skip

_TYPES = """(typed) => {
  document.querySelectorAll("main details").forEach((one) => { one.open = true; });
  const words = "input:not([type=hidden],[type=checkbox],[type=radio],[type=file],[type=date],[type=time]), textarea";
  const put = (field, value) => { field.value = value; };
  for (const [name, value] of Object.entries(typed)) {
    if (name === "*") document.querySelectorAll(`main :is(${words})`).forEach((field) => put(field, value));
    for (const field of document.getElementsByName(name)) {
      if (field.type === "radio") field.checked = true;
      put(field, value);
    }
  }
}"""
# Fields that are marked as wrong and say nothing, or something other than what was typed.
_DUMB = """(typed) => [...document.querySelectorAll("[aria-invalid=true]")].filter((field) => {
  const ids = (field.getAttribute("aria-describedby") ?? "").split(" ");
  const told = ids.some((id) => document.getElementById(id)?.matches(".error:not(:empty)"));
  const wrote = typed[field.name] ?? typed["*"];
  const isSecret = field.name === "key";  // which no page shows again
  const isTyped = wrote !== undefined && ["text", "textarea", "email"].includes(field.type);
  const kept = isSecret ? field.value === "" : !isTyped || field.value === wrote;
  return !told || !kept;
}).map((field) => field.outerHTML.slice(0, 160))"""


@pytest.fixture(scope="module")
def shop(eventful_shop: RunningShop) -> RunningShop:
    """Nora's eventful shop, for all tests of this file."""
    return eventful_shop


def test_every_form_has_its_line() -> None:
    """A form that nobody filled in wrongly here may leave somebody without a word."""
    routes = {route.path for route in ROUTES if isinstance(route, Route) and "POST" in (route.methods or set())}
    got = {"/app/customers/{number}/adjust", "/app/customers/{number}/forgive"}  # their first step is a GET
    assert routes == {*(FORMS.keys() - {"GET"}), *NOTHING_TYPED} and got <= routes


def refused(page: Page, form: Form, url: str) -> list[str]:
    """Fill a form in wrongly and send it; returns what is wrong with the answer, wide and narrow."""
    page.set_viewport_size(DESKTOP)
    page.goto(form.page if form.page.startswith("http") else url + form.page)
    page.evaluate(_TYPES, form.typed)
    with page.expect_response(lambda answer: answer.status == 422) as got:
        page.get_by_role("button", name=form.press, exact=True).click()
    got.value.finished()
    page.wait_for_function("!document.documentElement.hasAttribute('aria-busy')")
    marked = page.locator("[aria-invalid=true], fieldset.wrong")
    if form.marks:
        marked.first.wait_for()
    else:
        page.get_by_role("alert").first.wait_for()
    found = [f"says nothing, or lost what was typed: {each}" for each in page.evaluate(_DUMB, form.typed)]
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        found += [*violations(page), *(["it scrolls sideways"] if too_wide(page) else [])]
    return [f"{form.page}: {one}" for one in found]


def test_answers_that_refuse_are_for_everybody(browser: Browser, shop: RunningShop) -> None:
    """Wrong fields say what to do and keep what was typed; axe finds nothing, nothing is too wide, on either size."""
    page, complaints = shop.alone(browser)
    wrong = [one for key, forms in FORMS.items() if not key.startswith(("/c/", "/app/sign-in"))
             for form in forms for one in refused(page, form, shop.url)]  # fmt: skip
    page.context.close()
    assert wrong == [] and [one for one in complaints if "422" not in one] == []


def test_refusals_outside_the_door_are_for_everybody(browser: Browser, shop: RunningShop) -> None:
    """Signing in, a review, and being forgotten by one's own wish."""
    page, complaints = window(browser, DESKTOP, shop.url)
    wrong = refused(page, FORMS["/app/sign-in"][0], shop.url)
    page.goto(mailed(shop))
    page.get_by_role("button", name="Go on").click()
    review = FORMS["/c/review/{token}"][0]
    wrong += refused(page, review._replace(page=shop.links["review"]), shop.url)
    wrong += refused(page, FORMS["/c/account/forget"][0], shop.url)
    page.context.close()
    assert wrong == [] and [one for one in complaints if "422" not in one] == []
