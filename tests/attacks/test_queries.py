"""What somebody writes into the query of an address: words to look for, never a part of a statement or a pattern."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from starlette.datastructures import ImmutableMultiDict

from config.routes import ROUTES
from tests.browser.test_every_page import PAGES
from tests.config.test_own_pages import WRITTEN_BY_LOOKING, everything
from tests.eventful import make_eventful
from tests.visits import NORA, House

INJECTED = (
    "' OR 1=1 --",
    "1; DROP TABLE customers; --",
    "1) UNION SELECT first_name, 1, 1, 1, 1 FROM customers --",
    "%",
    "_" * 40,
    "(a+)+$" * 20,
    "\\",
    "-1",
    "9" * 40,
    "1e309",
    "٣",
    "\ufffe\x1b[2J\r\nX-Injected: 1",
    "<script>alert(1)</script>",
    "x" * 5_000,
)
UNREADABLE = "%ED%A0%80%FF"  # no text in any alphabet
ANSWERS = (200, 302, 303, 400, 404, 422)
LEAST_ASKED = 8  # parameters that pages are known to ask for


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's eventful shop and Otto's empty one, on each engine."""
    house = await House(database).open()
    await make_eventful(house)
    return house


@contextmanager
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Note which parameters a page looks for."""
    asked: set[str] = set()
    get, holds = ImmutableMultiDict.get, ImmutableMultiDict.__contains__

    def getting(self: Any, key: Any, default: Any = None) -> Any:
        asked.add(str(key))
        return get(self, key, default)

    def holding(self: Any, key: Any) -> bool:
        asked.add(str(key))
        return holds(self, key)

    with monkeypatch.context() as patched:
        patched.setattr(ImmutableMultiDict, "get", getting)
        patched.setattr(ImmutableMultiDict, "__contains__", holding)
        yield asked


async def test_a_query_is_words_and_nothing_else(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every page, each parameter it looks for, with each of them: an answer, no fault, and no row is another."""
    assert PAGES.keys() <= {getattr(route, "path", "") for route in ROUTES}
    nora = await house.signed_in(NORA)
    addresses = [several[0].format(draft=7).partition("?")[0] for several in PAGES.values()]
    looked_for = {}
    for address in addresses:
        with noted(monkeypatch) as asked:
            await nora.get(address)
        looked_for[address] = sorted(asked - {"said", "id_token", "embedded", "host", "shop"})
    assert len({name for names in looked_for.values() for name in names}) >= LEAST_ASKED
    before = await everything(house, list(WRITTEN_BY_LOOKING))
    wrong = []
    for address, names in looked_for.items():
        for name in names:
            for text in (*(quote(one, safe="") for one in INJECTED), UNREADABLE):
                answer = await nora.get(f"{address}?{name}={text}")
                is_told = "<script>alert" in answer.text or "x-injected" in answer.headers
                if answer.status_code not in ANSWERS or is_told:
                    wrong.append(f"{address}?{name}={text[:60]} answers {answer.status_code}")
    assert wrong == []
    assert await everything(house, list(WRITTEN_BY_LOOKING)) == before
