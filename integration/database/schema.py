"""The one MetaData every table belongs to, and the column types both engines share."""

from sqlalchemy import BigInteger, MetaData, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = BigInteger  # microseconds since 1970, UTC
Number = BigInteger  # our own per-merchant numbers, and money in minor units
Words = Text
