"""The migrations, numbered; each is one step further from an empty database."""
