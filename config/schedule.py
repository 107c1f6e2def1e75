"""Clock → job: what runs all the time, what runs when rung for, and what runs by the clock.

Loops belong to the worker process and do not need Redis; jobs and ticks go through the queue. A job is
`async def job(context, *ids) -> None`, idempotent, and named here once: `queue.enqueue("inbox.prune")`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from handlers.account import jobs as account
from handlers.collections import jobs as collections
from handlers.connections import jobs as connections
from handlers.context import Context
from handlers.earning import jobs as earning
from handlers.exchange import jobs as exchange
from handlers.inbox import jobs as inbox
from handlers.inbox import work
from handlers.insights import jobs as insights
from handlers.liability import jobs as liability
from handlers.merchants import jobs as merchants
from handlers.merchants.collections import LOOK
from handlers.messages import jobs as messages
from handlers.mirror import jobs as mirror
from handlers.points import jobs as points
from handlers.points import seal
from handlers.privacy import jobs as privacy
from handlers.programme import jobs as programme
from handlers.reconcile import jobs as reconcile
from handlers.referrals import jobs as referrals
from handlers.rewards import jobs as rewards
from handlers.tiers import jobs as tiers
from handlers.watch import jobs as watch

MINUTE, HOUR, DAY = 60, 3600, 86_400


class Loop(NamedTuple):
    """Something the worker does until it is told to stop; started again after a failure."""

    name: str
    run: Callable[[Context, asyncio.Event], Awaitable[None]]


class Job(NamedTuple):
    """Something that can be asked for by name; killed after `timeout` seconds, tried `tries` times."""

    name: str
    run: Callable[..., Awaitable[Any]]
    timeout: int = 30
    tries: int = 3


class Tick(NamedTuple):
    """A job asked for every so many seconds (a divisor of a minute, an hour or a day), once for all workers."""

    job: str
    every: int


LOOPS: tuple[Loop, ...] = (
    Loop("inbox.work", work.work_for_ever),
    Loop("messages.send", messages.send_for_ever),
    Loop("rewards.ask", rewards.ask_for_ever),
    Loop("watch.beat", watch.beat_for_ever),
)

JOBS: tuple[Job, ...] = (
    Job("inbox.prune", inbox.prune, timeout=60),
    Job("inbox.adopt", inbox.adopt_stragglers),
    Job("merchants.renew", merchants.renew, timeout=120, tries=1),
    Job("merchants.describe", merchants.describe, timeout=60),
    Job("merchants.describe_due", merchants.describe_due, timeout=120, tries=1),
    Job("merchants.reseal", merchants.reseal, timeout=60),
    Job("merchants.prune", merchants.prune, timeout=60),
    Job("points.expire", points.expire_due, timeout=120),
    Job("points.enrol", points.enrol_holders, timeout=120),
    Job("insights.count", insights.count, timeout=120, tries=1),
    Job("liability.count", liability.count, timeout=120, tries=1),
    Job("points.seal", seal.seal_new_entries, timeout=60),
    Job("watch.audit", watch.audit_in_turn, timeout=180, tries=1),
    Job(programme.JOB, programme.forecast, timeout=180),
    Job("reconcile.start", reconcile.start_due, timeout=60),
    Job("reconcile.one", reconcile.reconcile_one, timeout=120, tries=1),
    Job("reconcile.prune", reconcile.prune, timeout=60),
    Job("connections.tend", connections.tend, timeout=300, tries=1),
    Job(LOOK, collections.look, timeout=300, tries=1),
    Job("exchange.carry_out", exchange.carry_out, timeout=600, tries=1),
    Job("exchange.carry_on", exchange.carry_on, timeout=600, tries=1),
    Job("rewards.lapse", rewards.lapse, timeout=60),
    Job("rewards.look", rewards.look_due, timeout=540, tries=1),
    Job("rewards.look_at_changed", rewards.look_at_changed, timeout=120, tries=1),
    Job("mirror.tell", mirror.tell, timeout=120, tries=1),
    Job("tiers.look", tiers.look_due, timeout=120),
    Job("earning.look", earning.look_due, timeout=120),
    Job("referrals.look", referrals.look_due, timeout=120),
    Job(referrals.MAKE, referrals.make, timeout=120, tries=1),
    Job("referrals.prune", referrals.prune, timeout=60),
    Job("account.prune", account.prune, timeout=60),
    Job("privacy.carry_out", privacy.carry_out, timeout=120, tries=1),
    Job("privacy.prune", privacy.prune, timeout=60),
)

TICKS: tuple[Tick, ...] = (
    Tick("inbox.adopt", every=MINUTE),
    Tick("reconcile.start", every=MINUTE),
    Tick("exchange.carry_on", every=MINUTE),
    Tick("privacy.carry_out", every=MINUTE),
    Tick("tiers.look", every=MINUTE),
    Tick("earning.look", every=MINUTE),
    Tick("referrals.look", every=MINUTE),
    Tick(referrals.MAKE, every=MINUTE),
    Tick("rewards.look_at_changed", every=MINUTE),
    Tick("mirror.tell", every=MINUTE),
    Tick(LOOK, every=MINUTE),
    Tick("points.seal", every=5 * MINUTE),
    Tick("insights.count", every=5 * MINUTE),
    Tick("liability.count", every=5 * MINUTE),
    Tick("connections.tend", every=5 * MINUTE),
    Tick("watch.audit", every=HOUR),
    Tick("inbox.prune", every=HOUR),
    Tick("merchants.renew", every=10 * MINUTE),
    Tick("merchants.describe_due", every=10 * MINUTE),
    Tick("points.expire", every=10 * MINUTE),
    Tick("rewards.lapse", every=10 * MINUTE),
    Tick("rewards.look", every=10 * MINUTE),
    Tick("points.enrol", every=DAY),
    Tick("merchants.reseal", every=DAY),
    Tick("merchants.prune", every=DAY),
    Tick("referrals.prune", every=DAY),
    Tick("account.prune", every=DAY),
    Tick("reconcile.prune", every=DAY),
    Tick("privacy.prune", every=DAY),
)
