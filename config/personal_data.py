"""Where personal data lies: the table of contents of everything kept of anybody, column by column.

Every table of the database stands here, with the columns that may tell of a person, who holds them (shows, forgets and
clears them), and those that cannot. A test fails for a table or a column that does not stand here.
"""

from typing import NamedTuple

from handlers.account import personal as account
from handlers.backfill import personal as backfill
from handlers.collections import personal as collections
from handlers.customers import personal as customers
from handlers.earning import personal as earning
from handlers.exchange import personal as exchange
from handlers.holders import Holder, of_the_merchant
from handlers.inbox import personal as inbox
from handlers.merchants import personal as merchants
from handlers.messages import personal as messages
from handlers.mirror import personal as mirror
from handlers.points import personal as points
from handlers.privacy import personal as privacy
from handlers.reconcile import personal as reconcile
from handlers.referrals import personal as referrals
from handlers.reviews import personal as reviews
from handlers.rewards import personal as rewards
from handlers.sales import personal as sales
from handlers.tiers import personal as tiers

# In this order a shop is cleared: sales before those who bought, and who the shop was at last.
HOLDERS: tuple[Holder, ...] = (
    inbox.HOLDER,
    sales.HOLDER,
    messages.HOLDER,
    reviews.HOLDER,
    rewards.HOLDER,
    tiers.HOLDER,
    earning.HOLDER,
    referrals.HOLDER,
    mirror.HOLDER,
    account.HOLDER,
    points.HOLDER,
    customers.HOLDER,
    reconcile.HOLDER,
    backfill.HOLDER,
    exchange.HOLDER,
    privacy.HOLDER,
    collections.HOLDER,
    of_the_merchant("programme", "program_drafts", "program_previews", "program_forecasts"),
    of_the_merchant("words", "message_drafts", "message_trials"),
    of_the_merchant("pages", "journal", "looks", "sessions", "sign_in_links", "stripe_accounts"),
    merchants.HOLDER,
)


class Kept(NamedTuple):
    """One table: who holds what it tells of persons (None: it tells nothing), in which columns, and the others."""

    by: str | None
    personal: str = ""
    free: str = ""


TABLES: dict[str, Kept] = {
    # --- Deliveries ---
    "events": Kept(
        "events",
        personal="delivery_id reason",
        free="id source connection topic merchant_id triggered_at received_at recovered claims claim claimed_until"
        " next_attempt_at worked_at failed_at outcome sale",
    ),
    "event_bodies": Kept("events", personal="body", free="event_id size"),
    "unknown_shops": Kept(None, free="connection first_at events bytes"),
    # --- Merchants ---
    "merchants": Kept(
        "merchants",
        personal="name email shop_email country language policies",
        free="id currency timezone created_at closed_at messages_paused_at described_at describe_after",
    ),
    "daily_figures": Kept(
        None,
        free="merchant_id day issued taken_back redeemed orders repeats notes asked reviews recovered",
    ),
    "ledger_months": Kept(None, free="merchant_id month issued clawed_back adjusted redeemed expired"),
    "ledger_month_marks": Kept(None, free="merchant_id entry at"),
    "figure_marks": Kept(None, free="merchant_id entry day counted_at"),
    "books": Kept(None, free="merchant_id next_customer next_sale next_entry head"),
    "connections": Kept(
        "merchants",
        personal="account shop_id hosts secrets token refresh_token",
        free="id merchant_id platform mode scopes created_at connected_at revoked_at revoked_why closed_at"
        " token_expires_at refreshed_at refresh_after refresh_claim refresh_expires_at refresh_problem",
    ),
    "program_versions": Kept(
        "merchants", personal="document who", free="merchant_id version in_force_at created_at restores"
    ),
    # What points follow from stays; a product is no person.
    "collections": Kept(
        "collections",
        personal="title",
        free="merchant_id collection products known_at read_at problem due_at claim stir_from",
    ),
    "collection_products": Kept(None, free="merchant_id product collection from_at until_at"),
    "program_drafts": Kept("programme", personal="fields who", free="merchant_id number base at"),
    "program_previews": Kept("programme", personal="who", free="merchant_id what digest at"),
    "program_forecasts": Kept(
        "programme",
        personal="question",
        free="merchant_id digest asked_at alive_at done due answer answered_at failure",
    ),
    # Deleted within the hour: who began to install, before there is a merchant.
    "installs": Kept(None, free="state shop begun_at"),
    "message_drafts": Kept("words", personal="author subject body", free="merchant_id kind language at"),
    "message_trials": Kept(None, free="merchant_id since_at sent"),
    # Who works for the merchant; customers stand in it by our own number.
    "sessions": Kept("pages", personal="who", free="merchant_id digest created_at seen_at ended_at"),
    "sign_in_links": Kept("pages", personal="who", free="merchant_id digest mailed created_at expires_at used_at"),
    "journal": Kept("pages", personal="who detail", free="merchant_id at mark did about"),
    "looks": Kept("pages", personal="who", free="merchant_id at mark what customer"),
    "stripe_accounts": Kept(
        "pages",
        personal="account name key_hint endpoint reason",
        free="merchant_id connection livemode state checked_at claim claimed_until connected_at closed_at",
    ),
    # --- People ---
    "customers": Kept(
        "customers",
        personal="shopify_id first_name last_name email phone locale country region birthday birthday_at",
        free="merchant_id number email_at name_at phone_at locale_at place_at merged_into created_at forgotten_at"
        " birthday_due_at"
        " held_at",
    ),
    "customer_identities": Kept("customers", personal="kind value", free="merchant_id customer"),
    "consents": Kept("customers", personal="address state stood_before", free="merchant_id channel source told_at"),
    "suppressions": Kept("customers", personal="address reason detail", free="merchant_id channel at lifted_at"),
    # --- Sales and points: amounts stay, under our own number ---
    "sales": Kept(
        "sales",
        personal="facts platform_id name email",
        free="merchant_id number revision customer platform currency total_minor sold_at standing test merged_into"
        " absorbed program_version eligible_minor paired_with settle_at created_at backfill forgotten_at tier",
    ),
    "sale_identities": Kept("sales", personal="value", free="merchant_id platform kind sale"),
    "settlements": Kept(None, free="merchant_id sale capability revision attempts failure failed_at retry_at"),
    "ledger_entries": Kept(None, free="merchant_id number key sale source destination micropoints reason detail at"),
    "entry_words": Kept("points", personal="words", free="merchant_id key salt"),
    "accounts": Kept(None, free="merchant_id account micropoints"),
    "ledger_seals": Kept(None, free="merchant_id last_entry entries micropoints digest at"),
    "expiries": Kept(None, free="merchant_id customer due_at expired"),
    # --- Messages and reviews ---
    "messages": Kept(
        "messages",
        personal="address receipt details reason trace content",
        free="merchant_id key kind customer sale channel state due_at next_attempt_at attempts claim claimed_until"
        " sent_at test closed_at created_at",
    ),
    "restores": Kept(None, free="restored_at"),
    "reviews": Kept(
        "reviews",
        personal="line product_title words name locale",
        free="merchant_id sale customer product_id stars written_at published_at",
    ),
    "redemptions": Kept(
        "rewards",
        personal="key code reason buyer platform_id mark",
        free="merchant_id number customer reward version kind terms steps points value_minor currency state connection"
        " asked_at issued_at expires_at returning_at used_at used_by closed_at attempts next_at claim claimed_until"
        " tried_at reserved spent restored postings used_minor",
    ),
    "standings": Kept(None, free="merchant_id customer tier since_at kept_until falls_at due_at history"),
    "discounts_off": Kept(None, free="merchant_id platform_id reward terms since_at"),
    "discount_changes": Kept(None, free="merchant_id platform_id next_at"),
    "money_looks": Kept(None, free="merchant_id connection next_at after_number"),
    "discount_looks": Kept(None, free="merchant_id next_at after_number"),
    "tier_grants": Kept("tiers", personal="who reason", free="merchant_id customer at tier is_floor until"),
    "earners": Kept("earning", personal="joined_at", free="merchant_id customer due_at"),
    # What was given stays as the ledger's entries do, under our own number.
    "occasions": Kept(None, free="merchant_id customer occasion at version pending available postings"),
    "earning_marks": Kept(None, free="merchant_id version after_customer"),
    "referral_links": Kept("referrals", personal="code", free="merchant_id customer state created_at"),
    # Deleted once they are off at the platform: minutes after somebody is forgotten. A code is a name, too.
    "referral_codes": Kept(
        "referrals",
        personal="code link asker reason platform_id",
        free="merchant_id customer state kind terms value_minor currency connection created_at expires_at used_at"
        " attempts next_at claim claimed_until tried_at",
    ),
    # Keyed digests of where orders went: deleted after 180 days.
    "referral_homes": Kept("referrals", personal="digest", free="merchant_id sale at"),
    # Who brought whom stays under our own numbers, as the ledger's entries do.
    "referrals": Kept(
        None, free="merchant_id sale referrer friend state why decision at pending available postings due_at"
    ),
    "tier_marks": Kept(None, free="merchant_id version after_customer"),
    # The number at Shopify stays until what stands there is taken away: minutes after somebody is forgotten.
    "mirrors": Kept("mirror", personal="account", free="merchant_id customer digest has_tier due_at tag tag_state"),
    "mirror_marks": Kept(None, free="merchant_id entry version swept_at swept_after form busy_until"),
    # Deleted within a day.
    "account_links": Kept(
        "account",
        personal="asker",
        free="merchant_id digest customer reward created_at expires_at used_at session session_until",
    ),
    # Keyed digests, of addresses that may be nobody's: deleted within a day.
    "account_asks": Kept("account", personal="target asker", free="merchant_id digest asked_at"),
    # --- Asking the platforms ---
    "reconcile_marks": Kept(
        None,
        free="merchant_id connection reached_at next_at claim claimed_until failures state reason checked_at heard_at"
        " missed_at quiet_since quiet_why",
    ),
    "reconciliations": Kept(
        None,
        free="merchant_id connection started_at since_at ended_at compared recovered calls skipped reason sales"
        " micropoints",
    ),
    "recoveries": Kept(
        "reconcile", personal="delivery_id value", free="merchant_id connection started_at platform kind"
    ),
    "backfills": Kept(
        "backfill",
        personal="orders_after charges_after totals",
        free="merchant_id number state version since file operation started_at finished_at undone_at",
    ),
    "imports": Kept(
        "exchange",
        personal="file who",
        free="merchant_id number state digest encoding newcomers lines good known micropoints problems after_line moved"
        " taken_back read_at begun_at finished_at undone_at nameless_at claim claimed_until",
    ),
    "import_lines": Kept(
        "exchange",
        personal="email first_name last_name",
        free="merchant_id number line micropoints problem known customer taken_back",
    ),
    # --- Requests by law ---
    "privacy_keys": Kept(None, free="merchant_id sealed claim claimed_until"),
    "tombstones": Kept(None, free="merchant_id digest forgotten_at back_at note"),
    "privacy_requests": Kept(
        "privacy",
        personal="who",
        free="id merchant_id kind digest asked_at due_at stage numbers searched search_until removed attempts"
        " next_at reason waits_until told_at done_at",
    ),
    # Deleted in the transaction that ends a request.
    "privacy_names": Kept("privacy", personal="kind value", free="request"),
    "privacy_files": Kept("privacy", personal="content", free="request merchant_id name made_at expires_at fetched_at"),
    # --- Signs of life ---
    "vitals": Kept(None, free="kind name at count told"),
}
