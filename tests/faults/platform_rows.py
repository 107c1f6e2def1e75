"""Faults of the platforms: an Admin API that fails, access taken away, deliveries that never come, lost hours."""

from collections.abc import Callable

from handlers.merchants.connections import find_merchant
from integration.database.steps import ask, plain
from tests.faults.load import signed
from tests.faults.platform import AskedShop
from tests.faults.runs import Run
from tests.oracle.tellings import Delivery as Told
from tests.properties.histories import History

ORDERS = 12
MOST_AFTER_REFUSAL = 1  # each process asks a shop one thing at a time, and there are two at most
_TOKEN = plain("UPDATE connections SET token = ?2 WHERE merchant_id = ?1 AND platform = 'shopify'")


async def asked_shop(run: Run) -> tuple[AskedShop, History, int]:
    """Welcome a shop that lets us ask; returns it, its history as it happens here, and its merchant's id."""
    stage = run.world.stage
    asked = AskedShop(run.dice.randrange(1 << 30), stage.clock.now(), ORDERS)
    mine = await stage.welcome(asked.history)
    run.shops.append((asked.history, mine))
    domain, pretend = mine.shop.domain, run.world.platform.pretend
    pretend.shops[domain] = asked.sandbox
    token = pretend.grant(domain)["access_token"]
    merchant = await stage.context.database.run(lambda: find_merchant(mine.shop.name))
    sealed = stage.context.vault.seal(token, table="connections", merchant=merchant, column="token")
    await stage.context.database.run(lambda: ask(_TOKEN, (merchant, sealed)))
    return asked, mine, merchant


async def told(run: Run, shop: History, which: Callable[[Told], bool] = lambda _: True) -> None:
    """Send what happened to one shop, or a part of it."""
    await run.send([signed(run.world.stage, each) for each in shop.deliveries if which(each)])


async def api_fails(run: Run) -> None:
    """Row 21: the Admin API is throttled, down, or answers late, while edited orders have to be asked for."""
    _, mine, _ = await asked_shop(run)
    await run.until(0.05, 0.2)
    run.world.platform.mood = run.dice.choice(("throttle", 429, 500, 502, 503, "hang"))
    await told(run, mine)
    await run.for_a_while(0.2, 1.5)
    run.world.platform.mood = None
    run.over()


async def access_revoked(run: Run) -> None:
    """Row 22: our token is taken away in the middle; the shop's API is left alone from then on."""
    _, mine, _ = await asked_shop(run)
    half = len(mine.deliveries) // 2
    early = {each.delivery_id for each in mine.deliveries[:half]}
    await told(run, mine, lambda each: each.delivery_id in early)
    run.world.platform.pretend.tokens.access.clear()
    await told(run, mine, lambda each: each.delivery_id not in early)
    await run.until(1, 1)
    await run.idle()
    again = run.world.platform.after_refusal[mine.shop.domain]
    run.told["calls refused"] = run.world.platform.answered[mine.shop.domain, 401]
    run.told["calls after the first refusal"] = again
    if again > MOST_AFTER_REFUSAL:
        run.broken.append(f"{again} calls after a shop had said that our token is not good any more")
    run.over()


async def never_told(run: Run) -> None:
    """Row 29: a share of a shop's deliveries never comes; a look at its orders brings them."""
    _, mine, _ = await asked_shop(run)
    orders = sorted({_order_of(each) for each in mine.deliveries} - {0})
    silent = set(run.dice.sample(orders, run.dice.randint(1, len(orders) // 2)))
    await told(run, mine, lambda each: _order_of(each) not in silent)
    await run.idle()
    said = await run.world.command("reconcile", mine.shop.name)
    run.told["orders never told of"] = len(silent)
    run.told["recovered"] = float(said["recovered"])
    run.over()


async def backup_restored(run: Run) -> None:
    """Row 28: a backup made under load is put back when more has come since; a look at the orders brings that."""
    asked = [await asked_shop(run) for _ in range(3)]
    # Of the other shops nobody can be asked what came since: they are only the load.
    run.shops[:] = [(shop.history, mine) for shop, mine, _ in asked]
    halves = [len(mine.deliveries) // 2 for _, mine, _ in asked]
    early = {id(each) for (_, mine, _), half in zip(asked, halves, strict=True) for each in mine.deliveries[:half]}
    await run.until(0.1, 0.3)
    for _, mine, _ in asked:
        await told(run, mine, lambda each: id(each) in early)
    backup = str(run.world.folder / f"backup-{run.dice.randrange(1 << 30)}")
    await run.world.command("backup", backup)
    for _, mine, _ in asked:
        await told(run, mine, lambda each: id(each) not in early)
    await run.until(1, 1)
    await run.idle()
    await run.world.pause()
    await run.world.command("restore", backup, "--yes")
    await run.world.resume()
    for _, mine, _ in asked:
        said = await run.world.command("reconcile", mine.shop.name)
        run.told["recovered"] = run.told.get("recovered", 0.0) + said["recovered"]
    run.over()


def _order_of(each: Told) -> int:
    """The order a delivery is about; 0 for none."""
    body = each.body
    if each.topic.startswith("orders/"):
        return int(body["order_edit"]["order_id"] if "order_edit" in body else body["id"])
    return int(body.get("order_id") or 0)
