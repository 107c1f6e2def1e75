"""Tables of customers: our own number for a person, what names them, what they allow."""

from sqlalchemy import Column, ColumnElement, Index, Table, Text, func, literal_column, text

from integration.database.schema import Instant, Number, by_bytes, metadata

customers = Table(
    "customers",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("shopify_id", Text),  # the Shopify customer this number stands for; null = known otherwise
    Column("first_name", Text),
    Column("last_name", Text),
    Column("email", Text),  # where mail goes: the newest address a platform told
    Column("phone", Text),
    Column("locale", Text),
    Column("country", Text),
    Column("region", Text),
    # When each of these was last told, so that an older word never overrules a newer one; 0 = never.
    Column("email_at", Instant, nullable=False, server_default="0"),
    Column("name_at", Instant, nullable=False, server_default="0"),
    Column("phone_at", Instant, nullable=False, server_default="0"),
    Column("locale_at", Instant, nullable=False, server_default="0"),
    Column("place_at", Instant, nullable=False, server_default="0"),
    Column("birthday", Text),  # MM-DD, as they told it themselves; nobody is asked for the year
    Column("birthday_at", Instant),  # when they told it, or took it back
    Column("birthday_due_at", Instant),  # when to look what it brings; null = that is known
    Column("merged_into", Number),  # the number this one now means; always the last of a chain
    Column("created_at", Instant, nullable=False),
    Column("held_at", Instant),  # since when the merchant holds their messages back; null = not
    Column("forgotten_at", Instant),  # since when this number means nobody
)

# An address may be claimed by several Shopify customers (a household); a platform id names one.
customer_identities = Table(
    "customer_identities",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),  # shopify | stripe | email
    Column("value", Text, primary_key=True),
    Column("customer", Number, primary_key=True, autoincrement=False),
)
_TOLD = text("birthday_due_at IS NOT NULL")
Index(
    "ix_customers_birthday",
    customers.c.merchant_id,
    customers.c.birthday_due_at,
    customers.c.number,
    sqlite_where=_TOLD,
    postgresql_where=_TOLD,
)
Index(
    "ix_customers_phone",
    customers.c.phone,
    customers.c.merchant_id,
    sqlite_where=text("phone IS NOT NULL"),
    postgresql_where=text("phone IS NOT NULL"),
)
Index(
    "ix_customers_merged_into",
    customers.c.merged_into,
    customers.c.merchant_id,
    sqlite_where=text("merged_into IS NOT NULL"),
    postgresql_where=text("merged_into IS NOT NULL"),
)
Index("ix_customer_identities_customer", customer_identities.c.customer, customer_identities.c.merchant_id)


def _words(one: Column[str], other: Column[str]) -> ColumnElement[str]:
    """Two names as they are searched for: the letters A to Z small, the others as they are."""
    none: ColumnElement[str] = literal_column("''")
    return func.lower(by_bytes(func.coalesce(one, none) + literal_column("' '") + func.coalesce(other, none)))


# Partial, so that no statement that names a person by number takes them for as good as the key.
_NAMED = text("first_name IS NOT NULL OR last_name IS NOT NULL")
for _name, _one, _other in (
    ("ix_customers_name", customers.c.first_name, customers.c.last_name),
    ("ix_customers_surname", customers.c.last_name, customers.c.first_name),
):
    Index(
        _name,
        customers.c.merchant_id,
        _words(_one, _other),
        customers.c.number,
        sqlite_where=_NAMED,
        postgresql_where=_NAMED,
    )
_MAILED = text("email IS NOT NULL")
Index(
    "ix_customers_email",
    customers.c.merchant_id,
    by_bytes(customers.c.email),
    customers.c.number,
    sqlite_where=_MAILED,
    postgresql_where=_MAILED,
)
# SQLite's own index of the key does for it: there texts are compared by bytes anyway.
Index(
    "ix_customer_identities_address",
    customer_identities.c.merchant_id,
    by_bytes(customer_identities.c.value),
    customer_identities.c.customer,
    postgresql_where=text("kind = 'email'"),
).ddl_if(dialect="postgresql")

consents = Table(
    "consents",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("channel", Text, primary_key=True),  # email | sms
    Column("address", Text, primary_key=True),  # normalised e-mail or phone; or "shopify:<customer id>"
    Column("state", Text, nullable=False),  # subscribed, unsubscribed, …
    Column("source", Text, nullable=False),  # shopify, one-click, link, merchant
    Column("told_at", Instant, nullable=False),
    Column("stood_before", Text),  # the state that a stop by link or one-click took the place of; null = none was told
)

# Who must not be mailed, whatever a platform says: unsubscribed here, or a mailbox that refused for good.
suppressions = Table(
    "suppressions",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("channel", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("reason", Text, nullable=False),  # unsubscribed | refused
    Column("detail", Text),
    Column("at", Instant, nullable=False),
    Column("lifted_at", Instant),
)
