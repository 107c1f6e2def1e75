"""Who buys: one person across Shopify, Stripe and e-mail, their consent, and merges."""
