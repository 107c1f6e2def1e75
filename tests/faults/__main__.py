"""`make faults`: faults staged against the running program, by row of the matrix and seed.

python -m tests.faults --row 2 --seed 17 --engine postgres     one run again
python -m tests.faults --runs 20 --rows 1,2,7                  a campaign
python -m tests.faults storm --minutes 10 --rate 200           processes killed at random under load
"""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from tests.benchmarks.figures import console
from tests.faults.campaign import campaign, load_results, table, told
from tests.faults.machines import ENGINES
from tests.faults.rows import ROWS
from tests.faults.storm import storm


def main() -> int:
    """Run what was asked for; 0 only when everything held."""
    words = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.partition("\n")[0])
    words.add_argument("what", nargs="?", choices=("campaign", "storm", "table"), default="campaign")
    words.add_argument("--rows", "--row", default="", help="numbers with commas (all)")
    words.add_argument("--engine", choices=ENGINES, help="both by default")
    words.add_argument("--runs", type=int, default=1, help="seeds of each row")
    words.add_argument("--seed", type=int, default=1, help="the first seed")
    words.add_argument("--results", type=Path, help="a file every result is appended to; `table` reads it")
    words.add_argument("--minutes", type=float, default=10)
    words.add_argument("--rate", type=int, default=200, help="deliveries a second")
    asked = words.parse_args()
    # The runner's own connections are cut off with the program's; the pool would tell each time.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    numbers = {int(number) for number in asked.rows.split(",") if number}
    rows = [row for row in ROWS if not numbers or row.number in numbers]
    if asked.what == "storm":
        return 0 if asyncio.run(storm(asked.seed, asked.minutes, asked.rate, asked.engine or "postgres")) else 1
    if asked.what == "table":
        results = load_results(asked.results)
    else:
        engines = (asked.engine,) if asked.engine else ENGINES
        seeds = range(asked.seed, asked.seed + asked.runs)
        results = asyncio.run(campaign(rows, engines, seeds, asked.results))
    table(rows, results)
    failed = [result for result in results if not result.passed]
    for result in failed:
        console.print(told(result), highlight=False, markup=False)
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
