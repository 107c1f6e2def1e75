"""What the app asks a merchant to let it do, each with the feature that needs it; `shopify.app.toml` says the same."""

# Asked for when the app is installed: what the webhooks of `config/topics.py` and our documents need.
REQUIRED: tuple[str, ...] = (
    "read_orders",  # orders, refunds, returns and parcels: what is earned, thanked for and asked about
    "read_customers",  # who bought, and what mail they allow
    "read_customer_merge",  # two records of one person become one here as well
    "read_products",  # what was bought, for earning rules by product
    "read_fulfillments",  # when a parcel arrived, which is when to ask for a review
    "read_shopify_payments_disputes",  # points wait while a payment is disputed
    "read_locales",  # the shop's language
    "read_legal_policies",  # where its return policy stands
    "write_discounts",  # rewards that are discount codes
    "write_app_proxy",  # pages below the shop's own address
)

# Asked for later, where a merchant wants what needs them.
OPTIONAL: tuple[str, ...] = (
    "write_customers",  # points and tier beside the customer: the theme, the account and Flow show them
    "read_all_orders",  # Shopify shows orders of more than 60 days with it alone
    "write_gift_cards",  # rewards that are gift cards
    "read_store_credit_accounts",  # rewards that are store credit
    "write_store_credit_account_transactions",
)
