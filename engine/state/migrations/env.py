"""What alembic runs migrations with: the connection, inside its transaction, of whoever asked for it."""

from alembic import context

from engine.state import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter most of a table: it is made anew and filled from the old one.
    render_as_batch=True,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
