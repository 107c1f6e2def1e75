"""Bodies come back as they came, packed or not."""

import os

import pytest

from integration.database.packing import pack, unpack


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"id": 1}' * 1_000, os.urandom(5_000), b"\x00" * 5_000_000],
    ids=["empty", "small", "repetitive", "random", "largest"],
)
def test_a_body_comes_back_as_it_came(body: bytes) -> None:
    """Whatever was signed is what a reader gets."""
    stored, size = pack(body)
    assert unpack(stored, size) == body
    assert len(stored) <= len(body)


def test_an_order_takes_less_than_half_of_its_room() -> None:
    """Text of the kind platforms send is what packing is for."""
    body = b",".join(b'{"id": %d, "title": "Candle", "quantity": 1, "price": "12.00"}' % n for n in range(100))
    stored, size = pack(body)
    assert (size, 2 * len(stored) < len(body)) == (len(body), True)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 40, b"not packed at all"])
def test_a_damaged_body_is_said_to_be_damaged(damage: bytes) -> None:
    """Nobody is handed something else than what came."""
    with pytest.raises(ValueError, match="damaged"):
        unpack(damage, 4_000)
