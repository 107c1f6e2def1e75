"""The database's revisions, as Alembic runs them; `config.migrate` is how to call it."""
