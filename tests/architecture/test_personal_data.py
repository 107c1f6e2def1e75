"""Every column of every table is said to hold personal data or none, and whoever holds some can forget it."""

from config.migrate import declared
from config.personal_data import HOLDERS, TABLES


def test_every_column_is_declared():
    """A table or column nobody thought about would keep somebody who asked to be forgotten.

    Name it in `config/personal_data.py`; where it may tell of a person, in its capability's `personal.py` too.
    """
    there = {table.name: {column.name for column in table.columns} for table in declared().sorted_tables}
    named = {name: set(kept.personal.split()) | set(kept.free.split()) for name, kept in TABLES.items()}
    assert named == there


def test_no_column_is_both():
    """What may tell of a person is not free of it."""
    assert {name: set(kept.personal.split()) & set(kept.free.split()) for name, kept in TABLES.items()} == {
        name: set() for name in TABLES
    }


def test_whoever_holds_personal_data_is_a_holder():
    """A table with personal data names who shows, forgets and clears it; every holder has one."""
    holders = {holder.name for holder in HOLDERS}
    assert len(holders) == len(HOLDERS)
    assert {kept.by for kept in TABLES.values() if kept.personal} == holders
    assert all(bool(kept.by) == bool(kept.personal) for kept in TABLES.values())
