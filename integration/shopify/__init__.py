"""Shopify: verified webhooks in, Admin API calls out."""
