"""Looks at every connection from a process of its own, which a test may kill."""

import asyncio
import json
import sys
from pathlib import Path

from config.settings import Settings
from config.wiring import opened
from handlers.reconcile import store
from handlers.reconcile.jobs import reconcile
from integration import faults
from integration.shopify.admin import Admin
from tests.handlers.reconcile.market import APP_SECRET, HandClock


async def main(url: str, folder: str, platform: str, at: str, fault: str) -> None:
    """Open the program on a database as a worker would, with pretend platforms at an address."""
    settings = Settings(
        _env_file=None,
        database_url=url,
        data_dir=Path(folder),
        secret_key="the-secret-key-of-the-market-is-long-enough",
        shopify_api_secret=APP_SECRET,
    )
    clock = HandClock()
    clock.at = int(at)
    async with opened(settings, clock=clock, shopify=Admin(base=f"{platform}/{{shop}}", clock=clock)) as context:
        faults.arm(fault)
        found = await context.database.read(lambda: store.connected(None, 0, 10))
        print(json.dumps([(await reconcile(context, one)).state for one in found]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
