"""A customer's page wears the shop's colour and logo, from one place and nothing else; and weighs little."""

import pytest

from handlers.account.views import MOST_CODES, MOST_WHOLE, MOST_WHOLE_CODES
from handlers.merchants.offers import MOST_REWARDS
from handlers.merchants.programs import change_program
from handlers.merchants.rules import Refused
from handlers.merchants.ways import MOST_MILESTONES
from tests.handlers.account.guests import Guest

MOST_BYTES, LOGO_BYTES = 60_000, 12_000
LOGO = "https://cdn.shopify.com/s/files/1/0533/2089/files/logo-2.png?v=1700000000"


async def _wears(ana: Guest, **settings: str) -> None:
    now, merchant = ana.context.clock.now(), ana.counter.stall.merchant
    changed = {f"page.{name}": value for name, value in settings.items()}
    await ana.context.database.run(lambda: change_program(merchant, changed, now))
    ana.counter.market.passes(minutes=1)


async def test_a_page_wears_the_shops_colour_and_logo(ana: Guest) -> None:
    """On every page of it; what the page may load is that style and that one picture."""
    plain = await ana.http.get(ana.link())
    assert "img-src" not in plain.headers["content-security-policy"] and "--fill:#ffe000" not in plain.text
    await _wears(ana, colour="FFE000", logo=LOGO)
    opened = await ana.mailed()
    for page in (await ana.http.get(ana.link()), await ana.at_shop(), await ana.http.get(opened)):
        assert "--fill:#ffe000;--on-fill:#1d2421" in page.text
        assert f'<img src="{LOGO}&amp;width=320" alt="Stall 1" height="48"' in page.text
        policy = page.headers["content-security-policy"]
        assert f"img-src {LOGO.partition('?')[0]};" in policy
        assert policy.startswith("default-src 'none'; style-src 'sha256") and "unsafe" not in policy
    nobodys = await ana.http.get("/c/me/guessed")
    assert "ffe000" not in nobodys.text and "img-src" not in nobodys.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "red"),
        ("colour", "#12345"),
        ("colour", "#fff;}body{background:url(//evil.example)"),
        ("logo", "https://evil.example/s/files/logo.png"),
        ("logo", "http://cdn.shopify.com/s/files/1/logo.png"),
        ("logo", "https://cdn.shopify.com.evil.example/s/files/1/logo.png"),
        ("logo", "https://cdn.shopify.com/s/files/1/../../x/logo.png"),
        ("logo", "https://cdn.shopify.com/s/files/1/logo.png; script-src *"),
        ("logo", 'https://cdn.shopify.com/s/files/1/logo.png"onload="x'),
        ("logo", "https://cdn.shopify.com/s/files/1/logo.html"),
        ("logo", "javascript:alert(1)//cdn.shopify.com/s/files/1/logo.png"),
    ],
)
async def test_nothing_else_is_a_colour_or_a_logo(ana: Guest, name: str, value: str) -> None:
    """Neither style, nor markup, nor another place to fetch from."""
    with pytest.raises(Refused):
        await _wears(ana, **{name: value})


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
async def test_the_fullest_page_is_light(ana: Guest, language: str) -> None:
    """As many rewards, occasions and codes as a programme can have and are shown, in the wordiest language."""
    await _wears(ana, colour="#ffe000", logo=LOGO)
    ways = dict.fromkeys(("ways.sign_up", "ways.birthday", "ways.first_order", "ways.anniversary"), True)
    orders = {str(n * 50): 1_000_000 for n in range(1, MOST_MILESTONES + 1)}
    now, merchant = ana.context.clock.now(), ana.counter.stall.merchant
    changes = {**ways, "ways.milestones": True, "ways.milestone_points": orders}
    await ana.context.database.run(lambda: change_program(merchant, changes, now))
    ana.counter.market.passes(minutes=1)
    each = {"kind": "amount_off", "points": 1, "value": "5", "name": "A most welcome five off your next order of tea"}
    catalogue = {f"reward-number-{n}": {**each, "points": 100_000 + n} for n in range(MOST_REWARDS - 1)}
    await ana.counter.offers(five=each, **catalogue)
    await ana.counter.gives(MOST_CODES)
    for n in range(MOST_CODES):
        await ana.counter.redeems(key=f"code {n}")
    while await ana.counter.asks():
        pass
    pages = [await ana.at_shop(language=language), await ana.http.get(f"{ana.link()}?language={language}")]
    for page in pages:
        assert page.text.count("<article") == MOST_WHOLE + MOST_WHOLE_CODES and "38 " in page.text
        assert page.text.count("<code>") == (MOST_CODES if page is pages[0] else 0)
        assert len(page.content) < MOST_BYTES - LOGO_BYTES, len(page.content)
