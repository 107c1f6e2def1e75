"""Readers of Stripe's events: bytes in, facts out, for the present and for older API versions."""
