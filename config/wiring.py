"""Settings → Context: which piece stands behind each name of the program."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import structlog
from arq.connections import ArqRedis

from config.personal_data import HOLDERS
from config.settings import Settings, SettingsError, hand_on_otel
from config.topics import TOPICS
from handlers.care.letters import PointsAdjusted
from handlers.care.timeline import Done
from handlers.context import Context
from handlers.customers.consent import Wishes
from handlers.customers.timeline import Source
from handlers.earning.ledger import auditor as audit_occasions
from handlers.earning.letters import LETTERS as GIFT_LETTERS
from handlers.earning.settle import EarningSettler
from handlers.earning.settle import catch_up as catch_up_on_days
from handlers.earning.settle import follow as follow_occasions
from handlers.earning.settle import hear as hear_of_account
from handlers.insights.store import Count
from handlers.messages.falls import PointsDown
from handlers.messages.kinds import Kind
from handlers.messages.timeline import Letters
from handlers.mirror import store as mirror_store
from handlers.points.forecast import Aim
from handlers.points.letters import PointsExpiring
from handlers.points.settle import PointsSettler, follow
from handlers.points.timeline import Entries
from handlers.privacy.gate import Gate
from handlers.programme import store as programme_store
from handlers.reconcile import store as reconcile_store
from handlers.reconcile.store import recovered_of
from handlers.referrals import store as referrals_store
from handlers.referrals.ledger import audit as audit_referrals
from handlers.referrals.settle import ReferralsSettler
from handlers.referrals.settle import follow as follow_referrals
from handlers.referrals.views import Doorway, Friends
from handlers.reviews import rules as reviews
from handlers.reviews import store as reviews_store
from handlers.reviews.letters import Reminder, Request
from handlers.reviews.settle import ReviewsSettler
from handlers.reviews.timeline import Given
from handlers.rewards import kinds as reward_kinds
from handlers.rewards import views as rewards_views
from handlers.rewards.kinds.amount_off import AMOUNT_OFF
from handlers.rewards.kinds.balance_credit import BalanceCredit
from handlers.rewards.kinds.by_hand import ByHand
from handlers.rewards.kinds.free_product import FREE_PRODUCT
from handlers.rewards.kinds.free_shipping import FREE_SHIPPING
from handlers.rewards.kinds.gift_card import GiftCard
from handlers.rewards.kinds.percentage_off import PERCENTAGE_OFF
from handlers.rewards.kinds.promotion_code import PromotionCode
from handlers.rewards.kinds.store_credit import StoreCredit
from handlers.rewards.kinds.welcome import Lender
from handlers.rewards.ledger import audit as audit_rewards
from handlers.rewards.settle import RewardsSettler, hear
from handlers.rewards.views import Counter
from handlers.sales.apply import make_apply
from handlers.sales.books import stir_sold_since
from handlers.sales.settle import Settler
from handlers.sales.timeline import Orders, Returns
from handlers.thanks import rules as thanks
from handlers.thanks.letters import ThankYou
from handlers.thanks.settle import ThanksSettler
from handlers.tiers.letters import LETTERS as TIER_LETTERS
from handlers.tiers.settle import TierRanker
from handlers.tiers.settle import follow as follow_tiers
from handlers.tiers.views import View as LadderView
from integration import tracing
from integration.channels import Channel
from integration.channels.console import ConsoleChannel
from integration.channels.smtp import SmtpChannel
from integration.clock import Clock
from integration.database.engine import Database
from integration.dns import Dns
from integration.queue import Queue, connect
from integration.queue.embedded import EmbeddedValkey, find
from integration.shopify.admin import Admin
from integration.stripe.api import StripeApi
from integration.vault import Vault


def settlers(vault: Vault) -> tuple[Settler, ...]:
    """Name the capabilities that turn sales into what is owed; one failing does not stop the others."""
    friends = ReferralsSettler(vault.stand_in)
    return (PointsSettler(), RewardsSettler(), EarningSettler(), friends, ThanksSettler(), ReviewsSettler())


# Who says, before anything is settled, which tier a sale was made under.
RANKER = TierRanker(mirror_store.heard)

# What moves along when two customers turn out to be one.
FOLLOWERS = (follow, follow_tiers, follow_occasions, follow_referrals)

# Who checks what a capability has posted when the books are audited.
AUDITORS = (audit_rewards, audit_referrals)

# Who hears of promotion codes as Stripe tells of them, and of new accounts.
LISTENERS = (hear, hear_of_account)

# What a shop that is back brings with it: what it sold meanwhile, as far as it was told, counts again, and so do days.
ON_RETURN = (stir_sold_since, catch_up_on_days)

# Kinds of messages: what each says, and what it is in law.
KINDS: tuple[Kind, ...] = (
    ThankYou(),
    Request(),
    Reminder(),
    PointsDown(),
    PointsExpiring(),
    *TIER_LETTERS,
    *GIFT_LETTERS,
    PointsAdjusted(),
)

# Kinds of rewards: how each is made at its platform, looked after and taken back.
REWARDS: tuple[reward_kinds.Kind, ...] = (
    AMOUNT_OFF,
    PERCENTAGE_OFF,
    FREE_SHIPPING,
    FREE_PRODUCT,
    StoreCredit(),
    GiftCard(),
    PromotionCode(),
    BalanceCredit(),
    ByHand(),
)

SPENDING = Counter({kind.name: kind.platform for kind in REWARDS})

# What makes codes that nobody pays points for.
COUPONS = Lender({kind.name: kind for kind in REWARDS})

# What a person's timeline is merged from.
TIMELINE: tuple[Source, ...] = (Orders(), Returns(), Entries(), Letters(), Given(), Wishes(), Friends(), Done())

# When a sale brings one of them, by the capability's own rules: what a programme would have meant is counted with it.
AIMS: Mapping[str, Aim] = {
    thanks.KIND: thanks.target,
    reviews.REQUEST: lambda sale, _place: reviews.target(sale),
}

# What capabilities count for the home page.
COUNTS: Mapping[str, Count] = {
    "reviews": reviews_store.received,
    "recovered": reconcile_store.recovered,
    "previews": programme_store.previews,
    "quiet": reconcile_store.quiet,
    "friends": referrals_store.waiting,
    "rewards_off": rewards_views.switched_off,
    "rewards_refused": rewards_views.refused,
    "rewards_waiting": rewards_views.waiting,
}


log = structlog.get_logger()


class Handles(NamedTuple):
    """What is open to the world; closed in reverse by whoever opened it."""

    database: Database
    queue: Queue
    clock: Clock
    vault: Vault
    shopify: Admin
    stripe: StripeApi
    channels: Mapping[str, Channel]


@asynccontextmanager
async def opened(
    settings: Settings,
    *,
    serving: bool = False,
    clock: Clock | None = None,
    shopify: Admin | None = None,
    stripe: StripeApi | None = None,
    channels: Mapping[str, Channel] | None = None,
) -> AsyncIterator[Context]:
    """Open everything the program needs, and close it in reverse.

    `serving` starts the embedded Valkey where no REDIS_URL is set; a command only uses one that runs. The named
    pieces replace the real ones (the demo's sandbox). Raises SettingsError, and Unavailable where an engine is
    away.
    """
    clock, vault = clock or Clock(), Vault(settings.secret_keys)
    async with AsyncExitStack() as stack:
        if serving and settings.traces:
            _trace(stack)
        try:
            database = await Database.open(settings.database_url, settings.data_dir, settings.database_connections)
        except ValueError as error:
            raise SettingsError(str(error)) from None
        stack.push_async_callback(database.close)
        queue = Queue(await _redis(settings, serving, stack))
        stack.push_async_callback(queue.close)
        shopify = shopify or Admin(clock=clock)
        stack.push_async_callback(shopify.aclose)
        stripe = stripe or StripeApi(clock=clock)
        stack.push_async_callback(stripe.aclose)
        channels = channels or {"email": _mail(settings)}
        for channel in channels.values():
            stack.push_async_callback(channel.close)
        yield _context(settings, Handles(database, queue, clock, vault, shopify, stripe, channels))


def _context(settings: Settings, handles: Handles) -> Context:
    """Put the program together: what is open to the world, and the tables of contents above."""
    gate = Gate(handles.vault)
    settling = settlers(handles.vault)
    apply, resettle = make_apply(settling, FOLLOWERS, gate, LISTENERS, RANKER)
    return Context(
        **handles._asdict(),
        public_url=settings.own_url,
        mail_from=settings.mail_from,
        shopify_secrets=settings.shopify_secrets,
        topics=TOPICS,
        settlers=settling,
        apply=apply,
        resettle=resettle,
        kinds={kind.name: kind for kind in KINDS},
        on_return=ON_RETURN,
        shopify_key=settings.shopify_api_key,
        aims=AIMS,
        dns=Dns(),
        mail_spf=settings.mail_spf,
        dkim_selectors=settings.dkim_selectors,
        timeline=TIMELINE,
        holders=HOLDERS,
        privacy=gate,
        recovered=recovered_of,
        counts=COUNTS,
        auditors=(*AUDITORS, audit_occasions(gate)),
        rewards={kind.name: kind for kind in REWARDS},
        spending=SPENDING,
        ladder=LadderView(),
        rises=mirror_store.heard,
        coupons=COUPONS,
        inviting=Doorway(COUPONS),
        client_header=settings.client_address_header,
        data_dir=settings.data_dir,
    )


async def _redis(settings: Settings, serving: bool, stack: AsyncExitStack) -> ArqRedis | None:
    if settings.redis_url:
        return _connected(settings.redis_url)
    if serving:
        embedded = EmbeddedValkey(settings.data_dir)
        await embedded.start()
        stack.push_async_callback(embedded.stop)
        return _connected(embedded.url)
    url = find(settings.data_dir)
    return _connected(url) if url else None


def _trace(stack: AsyncExitStack) -> None:
    hand_on_otel()
    try:
        tracing.start()
    except ModuleNotFoundError:
        # A platform may set OTEL_* for everything that runs on it: no reason not to run.
        log.warning("traces_not_installed", install="regulars[tracing]")
    else:
        stack.callback(tracing.stop)


def _connected(url: str) -> ArqRedis:
    try:
        return connect(url)
    except ValueError:
        raise SettingsError("REDIS_URL must be redis://…, rediss://… or unix://path.") from None


def _mail(settings: Settings) -> Channel:
    return SmtpChannel(settings.smtp_url) if settings.smtp_url else ConsoleChannel()
