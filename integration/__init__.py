"""Talks to the world: platforms, database, queue, mail, clock. Knows nothing of loyalty."""
