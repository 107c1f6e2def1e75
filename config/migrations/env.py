"""What Alembic asks for: the declared tables, on the connection `config.migrate` opened and locked."""

from alembic import context

from config.migrate import declared

connection = context.config.attributes["connection"]

# SQLite cannot alter most of a table in place: a batch makes a new one and copies.
context.configure(
    connection=connection,
    target_metadata=declared(),
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
