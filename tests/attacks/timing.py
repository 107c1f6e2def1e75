"""Does the time a signature takes tell how much of it was right? Measured by hand: `python -m tests.attacks.timing`.

Two kinds of forged signatures take turns at random: wrong from the first byte on, and wrong in the last byte only.
Welch's t-test compares their times, whole and without the slowest (interrupts). The same is done with a digest that has
nothing to do with the right one: reading two kinds of text and finding them in memory takes times of its own, which
tell nothing. A leak shows as |t| more than 10 above that of this control, growing with the number of samples (the
thresholds are those of "dude, is my code constant time?").
"""

import base64
import gc
import hashlib
import hmac
import math
import random
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter_ns

from integration.shopify import webhooks as shopify
from integration.stripe import webhooks as stripe

SAMPLES = 100_000  # of each kind
FORGERIES = 4_096
MAYBE, SURELY = 4.5, 10.0  # of |t|: measure again; it leaks
PARTS = (1.0, 0.95, 0.75, 0.5)  # of the fastest samples that are kept
BODY = b'{"id":1001,"note":"oolong"}' * 20
SECRET, AT = "a secret for measuring", 1_795_000_000


def welch(one: Sequence[int], other: Sequence[int]) -> float:
    """Compute Welch's t of two samples."""
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(spread)


def times(verify: Callable[[str], bool], forged: Sequence[tuple[str, str]]) -> tuple[list[int], list[int]]:
    """Time both kinds of forgeries in a random order; returns nanoseconds of each."""
    draw = random.Random(20)
    kinds = [0, 1] * SAMPLES
    draw.shuffle(kinds)
    found: tuple[list[int], list[int]] = ([], [])
    for kind in kinds:
        header = forged[draw.randrange(FORGERIES)][kind]
        began = perf_counter_ns()
        verify(header)
        found[kind].append(perf_counter_ns() - began)
    return found


def forgeries(digest: bytes, written: Callable[[bytes], str]) -> list[tuple[str, str]]:
    """Write digests wrong in their first byte, each beside one wrong in its last.

    Many, and made in a random order: any two objects differ in time by what they say and where they lie in memory.
    """
    draw = random.Random(21)
    made: list[list[str]] = [[], []]
    for kind in draw.sample([0, 1] * FORGERIES, 2 * FORGERIES):
        place = 0 if kind == 0 else len(digest) - 1
        wrong = bytearray(digest)
        wrong[place] ^= draw.randrange(1, 256)
        made[kind].append(written(bytes(wrong)))
    return list(zip(*made, strict=True))


def naive(header: str, good: str) -> bool:
    """Compare as nobody should, byte by byte in Python: shows that the measurement can see a leak."""
    return all(a == b for a, b in zip(header, good, strict=True))


def main() -> None:
    """Measure both verifiers, and a leaking comparison for contrast."""
    key = SECRET.encode()
    of_shopify = hmac.new(key, BODY, hashlib.sha256).digest()
    of_stripe = hmac.new(key, f"{AT}.".encode() + BODY, hashlib.sha256).digest()
    good = of_shopify.hex()
    no_digest = random.Random(22).randbytes(len(of_shopify))
    written: dict[str, tuple[Callable[[str], bool], bytes, Callable[[bytes], str]]] = {
        "Shopify": (
            lambda header: shopify.verify(BODY, header, [SECRET]),
            of_shopify,
            lambda d: base64.b64encode(d).decode(),
        ),
        "Stripe": (
            lambda header: stripe.verify(BODY, header, [SECRET], AT),
            of_stripe,
            lambda d: f"t={AT},v1={d.hex()}",
        ),
        "byte by byte": (lambda header: naive(header, good), of_shopify, bytes.hex),
    }
    gc.disable()
    for name, (verify, digest, write) in written.items():
        found, control = (measured(verify, forgeries(of, write)) for of in (digest, no_digest))
        beyond = max(map(abs, found)) - max(map(abs, control))
        verdict = "it leaks" if beyond > SURELY else "perhaps, measure again" if beyond > MAYBE else "no difference"
        print(f"{name}: {verdict}. t of the fastest {said(found)}; of the control {said(control)}")


def measured(verify: Callable[[str], bool], forged: Sequence[tuple[str, str]]) -> list[float]:
    """Compare the times of both kinds; returns t for each part of the fastest samples."""
    assert not any(verify(header) for pair in forged for header in pair)
    early, late = (sorted(found) for found in times(verify, forged))
    return [welch(early[: int(len(early) * part)], late[: int(len(late) * part)]) for part in PARTS]


def said(ts: Sequence[float]) -> str:
    """Write t beside the part of the samples it is of."""
    return ", ".join(f"{part:.0%}: {t:+.2f}" for part, t in zip(PARTS, ts, strict=True))


if __name__ == "__main__":
    main()
