"""A pretend shop, a pretend Stripe and a mailbox on loopback: real protocols, for the demo and the tests."""
