"""The outbox: what is due to whom on which channel, and how it gets there."""
