"""The program as a fault run starts it: its own command, with faults armed on request and long waits shortened.

`FAULT=point:action:nth` arms points from the start, SIGUSR1 those written in the file `FAULT_FILE` names.
`FAULT_SET` is a JSON list of [module, name, value] that replace constants: a lease of half a minute would make every
run last minutes. `FAULT_SHOPIFY` is where the Admin API is answered.
"""

import functools
import importlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from integration import faults
from integration.facts import Envelope, Reading

POISON = "faults/poison"  # a topic only a fault run reads


def main() -> None:
    """Prepare this process and run the command its arguments name."""
    faults.arm(os.environ.get("FAULT", ""))
    # Only here can a running program be told to fail: production has no such ear.
    signal.signal(signal.SIGUSR1, lambda *_: obey())
    obey()
    for module, name, value in json.loads(os.environ.get("FAULT_SET", "[]")):
        replace(module, name, value)
    from config import topics, wiring

    topics.TOPICS["shopify"][POISON] = read_poison  # type: ignore[index]
    if base := os.environ.get("FAULT_SHOPIFY"):
        wiring.Admin = functools.partial(wiring.Admin, base=base)  # type: ignore[misc, assignment]
    from config.cli import main as command

    command()


def obey() -> None:
    """Arm what the file of orders says, once: a process started again is not to fail again."""
    path = Path(os.environ["FAULT_FILE"])
    if path.exists():
        faults.arm(path.read_text().strip())
        path.unlink()


def replace(module: str, name: str, value: Any) -> None:
    """Give a constant of the program another value; AttributeError where there is no such constant."""
    found = importlib.import_module(module)
    getattr(found, name)
    setattr(found, name, tuple(value) if isinstance(value, list) else value)


def read_poison(body: bytes, _: Envelope) -> Reading:
    """Do to the worker what the body says: `kill` it, `raise`, or keep it in a `loop` for ever."""
    what = json.loads(body)["poison"]
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while what == "loop":
        time.sleep(0.01)
    raise faults.Staged(what)


if __name__ == "__main__":
    main()
