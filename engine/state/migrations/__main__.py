"""Write the next migration: what the tables have that the migrations so far do not.

``python -m engine.state.migrations "Remember who stopped an instance"``. Read what it wrote: a renamed column looks to
it like one that went and one that came.
"""

import sys

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from engine.state.schema import MIGRATIONS, head


def write(message: str) -> None:
    with create_engine("sqlite://").connect() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        command.upgrade(config, "head")
        number = f"{int(head()) + 1:04d}"
        command.revision(config, message.rstrip("."), autogenerate=True, rev_id=number)
    (file,) = (MIGRATIONS / "versions").glob(f"{number}_*.py")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.lstrip().startswith("# ###")))


if __name__ == "__main__":
    write(sys.argv[1])
