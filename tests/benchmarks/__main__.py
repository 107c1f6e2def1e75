"""`make bench`: the receiver, the workers, the way between them and a whole day, measured in one run on one machine."""

import argparse
import os
import platform
import sys

from tests.benchmarks import (
    across,
    backfill,
    fleet,
    forecast,
    latency,
    pages,
    processes,
    receiver,
    rewards,
    size,
    tiers,
    worker,
)
from tests.benchmarks.figures import console

PARTS = ("receiver", "worker", "latency", "fleet")
BY_HAND = (
    "backfill",
    "size",
    "forecast",
    "pages",
    "rewards",
    "tiers",
)  # take minutes, and the first two gigabytes of disk


def main() -> int:
    """Measure what was asked for (everything by default); 0 only when every floor and limit held."""
    words = argparse.ArgumentParser(prog="make bench", description=__doc__)
    words.add_argument(
        "parts", nargs="*", choices=[*PARTS, *BY_HAND, []], help="what to measure (all but the last six)"
    )
    words.add_argument("--repetitions", type=int, default=7)
    words.add_argument("--seconds", type=int, default=4, help="length of one burst of load")
    words.add_argument("--engine", choices=backfill.ENGINES, help="of the backfill, the forecast and the pages (both)")
    words.add_argument("--orders", type=int, default=backfill.ORDERS, help="of the history to take in")
    asked = words.parse_args()
    parts = asked.parts or PARTS
    console.print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}.")
    held = True
    if "receiver" in parts:
        held &= receiver.measure(asked.repetitions, asked.seconds)
    if "worker" in parts:
        held &= worker.measure(asked.repetitions)
        held &= processes.measure(max(1, asked.repetitions // 2))
    if "latency" in parts:
        held &= latency.measure(asked.repetitions, 2 * asked.seconds)
        held &= across.measure(max(1, asked.repetitions // 2), 2 * asked.seconds)
    if "fleet" in parts:
        held &= fleet.measure()
    if "backfill" in parts:
        held &= backfill.measure(asked.orders, (asked.engine,) if asked.engine else backfill.ENGINES)
    if "forecast" in parts:
        held &= forecast.measure(engines=(asked.engine,) if asked.engine else forecast.ENGINES)
    if "pages" in parts:
        held &= pages.measure(engines=(asked.engine,) if asked.engine else pages.ENGINES)
    if "rewards" in parts:
        held &= rewards.measure(engines=(asked.engine,) if asked.engine else rewards.ENGINES)
    if "tiers" in parts:
        held &= tiers.measure(engines=(asked.engine,) if asked.engine else tiers.ENGINES)
    if "size" in parts:
        held &= size.measure()
    console.print("Every floor and limit held." if held else "[bold red]Not every floor and limit held.[/]")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
