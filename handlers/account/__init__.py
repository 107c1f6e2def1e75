"""The customer's own page: what they have, what it buys, and what they may do with it."""
