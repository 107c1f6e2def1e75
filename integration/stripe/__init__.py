"""Stripe: verified webhooks in, API calls out."""
