"""Readers of Shopify's webhook bodies: bytes in, facts out."""
