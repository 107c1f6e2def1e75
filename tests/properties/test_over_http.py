"""The same property with nothing left out: posted to the running server, many requests at once, worked beside it."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.journeys.conftest import street
from tests.journeys.street import Street
from tests.journeys.town import SHOPIFY_SECRET
from tests.oracle.tellings import Delivery
from tests.properties.conftest import EXAMPLES
from tests.properties.histories import History, histories
from tests.properties.plays import Stage
from tests.properties.tape import NOW, micros

__all__ = ["street"]

AT_ONCE = 8


@settings(settings.get_profile("ends"), max_examples=max(EXAMPLES // 6, 1))
@given(history=histories(), seed=st.randoms(use_true_random=False))
def test_deliveries_posted_all_at_once_come_to_the_oracles_end(
    street: Street, runner: asyncio.Runner, history: History, seed: random.Random
) -> None:
    """Shuffled, some twice, eight requests at a time, while the worker works what has come."""
    runner.run(_posted(street, history, seed))


async def _posted(street: Street, history: History, seed: random.Random) -> None:
    stage = Stage(street.context, street.clock, SHOPIFY_SECRET)
    mine = await stage.welcome(history)
    deliveries = [d for d in mine.deliveries for _ in range(seed.choice((1, 1, 2)))]
    seed.shuffle(deliveries)
    seats = asyncio.Semaphore(AT_ONCE)

    async def post(delivery: Delivery) -> None:
        path, raw, headers = stage.request(delivery)
        async with seats:
            answer = await street.http.post(path, content=raw, headers=headers)
        assert answer.status_code == 200

    async with asyncio.TaskGroup() as group:
        for delivery in deliveries:
            group.create_task(post(delivery))
    await street.idle()
    await stage.check(mine, micros(NOW), sending=True)
