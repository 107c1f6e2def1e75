"""The benchmark of pages opens every page there is, and each answers as it should."""

from pathlib import Path
from typing import Any

from starlette.routing import Route

from config.routes import ROUTES
from tests.benchmarks.crowd import fill
from tests.benchmarks.pages import SHOTS, UNMEASURED, Slow, look, told

CUSTOMERS, ENTRIES = 220, 2_400  # a small crowd, of the same kinds of everything


def test_every_page_is_measured_or_says_why_not() -> None:
    """A new line in config/routes.py needs one in tests/benchmarks/addresses.py; what is gone needs none."""
    routes = [route for route in ROUTES if isinstance(route, Route)]
    answered = {(verb, route.path) for route in routes for verb in (route.methods or set()) - {"HEAD"}}
    measured = {(shot.method, shot.route) for shot in SHOTS}
    assert measured | set(UNMEASURED) == answered
    assert not measured & set(UNMEASURED)
    assert len({shot.name for shot in SHOTS}) == len(SHOTS)


async def test_every_page_that_is_measured_answers_as_it_should(database: Any, tmp_path: Path) -> None:
    """On what is one's own: pages stand, and forms filled in as they stand are taken, time and again."""
    crowd = await fill(database, CUSTOMERS, ENTRIES)
    found = await look(database.url, tmp_path, crowd, warm=0, times=2)
    assert "\n".join(f"{name}: {each}" for name, each in found.items() if not isinstance(each, Slow)) == ""
    assert len(found) == len(SHOTS)


def test_a_page_that_does_not_answer_as_it_should_fails_the_benchmark(capsys: Any) -> None:
    """Too slow, odd on one engine, or not opened at all."""
    fast, slow = Slow(1, 2), Slow(1, 151)
    assert told({"SQLite": {"home": fast}, "PostgreSQL": {"home": fast}})
    assert not told({"SQLite": {"home": fast}, "PostgreSQL": {"home": slow}})
    assert not told({"SQLite": {"home": fast}, "PostgreSQL": {"home": "GET /app answers 500, not 200"}})
    assert not told({"SQLite": {"home": fast}, "PostgreSQL": {}})
