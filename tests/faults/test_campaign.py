"""A short campaign on every change; `make faults` runs the whole matrix."""

import pytest

from tests.conftest import missing
from tests.faults.campaign import campaign, told
from tests.faults.machines import Engine
from tests.faults.rows import ROWS
from tests.servers import postgres_binaries

SEED = 17
SHORT: dict[Engine, tuple[int, ...]] = {"sqlite": (1, 2, 11), "postgres": (1, 2, 7)}


@pytest.mark.parametrize("engine", SHORT)
async def test_nothing_acknowledged_is_lost_or_counts_twice(engine: Engine) -> None:
    """The program's processes and engines fail at drawn points; the end is the one without faults."""
    if engine == "postgres" and postgres_binaries() is None:
        missing("PostgreSQL's server binaries (Debian: apt-get install postgresql)")
    rows = [row for row in ROWS if row.number in SHORT[engine] and engine in row.engines]
    results = await campaign(rows, [engine], [SEED])
    assert [told(result) for result in results if not result.passed] == []
    assert len(results) == len(SHORT[engine])
