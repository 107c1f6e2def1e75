"""The worker's desk of the inbox, for what is counted of it."""

from tests.handlers.inbox.conftest import desk

__all__ = ["desk"]
