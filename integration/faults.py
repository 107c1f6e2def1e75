"""Named points at which a test can make the program fail; nothing is ever armed in production."""

import os
import signal
import time
from dataclasses import dataclass

# Point -> what is to happen there. Empty but in a test's own process, so that a point costs one look at it.
_armed: dict[str, "Fault"] = {}


class Staged(Exception):
    """A failure somebody asked for."""


@dataclass(slots=True)
class Fault:
    """What happens at a point: `kill` and `stop` this process, `raise`, or `sleep=SECONDS`, at the nth passing."""

    point: str
    action: str
    nth: int
    passed: int = 0

    def happen(self) -> None:
        """Count one passing, and fail when it is the nth."""
        self.passed += 1
        if self.passed != self.nth:
            return
        action, _, seconds = self.action.partition("=")
        if action == "sleep":
            time.sleep(float(seconds))
        elif action == "raise":
            raise Staged(self.point)
        else:
            os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)


def point(name: str) -> None:
    """Pass a named point: nothing happens unless a fault is armed for it."""
    if _armed and (fault := _armed.get(name)) is not None:
        fault.happen()


def arm(specification: str) -> None:
    """Arm `point:action:nth`, several with commas between them, in the place of what was armed; "" disarms.

    Raises ValueError for anything else.
    """
    faults = {}
    for words in specification.split(",") if specification else ():
        name, action, nth = words.split(":")
        if action.partition("=")[0] not in ("kill", "stop", "raise", "sleep"):
            raise ValueError(f"{action} is no action: kill, stop, raise or sleep=SECONDS")
        faults[name] = Fault(name, action, int(nth))
    _armed.clear()
    _armed.update(faults)
