"""How bodies lie in the database: packed with LZ4, which costs less than writing what it saves."""

import lz4.block

SMALLEST = 512  # bytes; what is smaller gains nothing worth the while


def pack(body: bytes) -> tuple[bytes, int | None]:
    """Return a body as it is to be stored, and its length in bytes if that is packed (None: as it came)."""
    if len(body) < SMALLEST:
        return body, None
    packed: bytes = lz4.block.compress(body, store_size=False)
    return (packed, len(body)) if len(packed) < len(body) else (body, None)


def unpack(stored: bytes, size: int | None) -> bytes:
    """Return the body that `pack` made this of; raises ValueError where it is damaged."""
    if size is None:
        return bytes(stored)
    try:
        body: bytes = lz4.block.decompress(stored, uncompressed_size=size)
    except lz4.block.LZ4BlockError as error:
        raise ValueError("a stored body is damaged") from error
    if len(body) != size:
        raise ValueError("a stored body is damaged")
    return body
