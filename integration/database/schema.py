"""The one MetaData every table belongs to, and the column types both engines share."""

from typing import Any

from sqlalchemy import BigInteger, MetaData, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

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


class by_bytes(FunctionElement[str]):
    """A text in an index that is compared byte by byte on both engines, whatever the database's language."""

    name = "by_bytes"
    inherit_cache = True

    def __init__(self, text: ColumnElement[Any]) -> None:
        super().__init__(text)


@compiles(by_bytes)
def _plain(element: by_bytes, compiler: Any, **words: Any) -> str:
    return str(compiler.process(element.clauses, **words))


@compiles(by_bytes, "postgresql")
def _by_bytes(element: by_bytes, compiler: Any, **words: Any) -> str:
    return f'({compiler.process(element.clauses, **words)}) COLLATE "C"'
