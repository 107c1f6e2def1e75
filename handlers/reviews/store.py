"""Tables of reviews: what customers wrote about what they bought."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text

from integration.database.schema import Instant, Number, metadata

reviews = Table(
    "reviews",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("sale", Number, primary_key=True, autoincrement=False),
    Column("line", Text, primary_key=True),  # the order line's id; "" = the purchase as a whole
    Column("customer", Number),
    Column("product_id", Text),
    Column("product_title", Text, nullable=False, server_default=""),
    Column("stars", Integer, nullable=False),
    Column("words", Text, nullable=False, server_default=""),
    Column("name", Text),  # as it would be shown
    Column("locale", Text),
    Column("written_at", Instant, nullable=False),
    Column("published_at", Instant),  # null until the shop shows it
    CheckConstraint("stars BETWEEN 1 AND 5", name="stars"),
)
Index("ix_reviews_customer", reviews.c.merchant_id, reviews.c.customer)
Index("ix_reviews_product", reviews.c.merchant_id, reviews.c.product_id)
