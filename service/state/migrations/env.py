"""What Alembic runs: every step on the connection, and in the transaction, of `migrate`."""

from alembic import context

from service.state.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
