"""``groundfog users``: accounts and their access keys."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.configuration import Data, deployed, endpoint, open_existing
from cli.terminal import Failure, say, show_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from engine.deployment import Deployment
    from engine.state import Account

app = typer.Typer(no_args_is_help=True, help="Accounts and access keys.")


@app.command("list")
def list_users(data: Data = None) -> None:
    """List accounts and the ids of their keys.

    Example: groundfog users list
    """
    from sqlalchemy import select

    from engine.state import AccessKey, Account

    deployment = _open(data)
    rows = select(Account, AccessKey).outerjoin(AccessKey, AccessKey.account == Account.id)
    with deployment.database.read() as db:
        found = db.execute(rows.order_by(Account.created, Account.id, AccessKey.created)).all()
    show_table(
        ["account", "name", "access key", "state", "created"],
        [
            [a.id, a.name, key.id if key else "", "" if not key else "active" if key.active else "disabled", a.created]
            for a, key in found
        ],
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A name for the account, such as a team's.")], data: Data = None
) -> None:
    """Create an account with an access key and a default VPC in every region. The secret is shown this once.

    Example: groundfog users create ci > ci.env
    """
    from sqlalchemy import select

    from engine.seed import SeedAccount, add_account, new_account_id
    from engine.state import AccessKey, Account

    deployment = _open(data)
    with deployment.database.write() as db:
        if db.scalar(select(Account.id).where(Account.name == name)):
            raise Failure(f"cannot create {name}: there is an account of that name; see: groundfog users list")
        id = new_account_id(db)
        add_account(db, deployment.settings, deployment.vault, SeedAccount(id=id, name=name))
        db.flush()
        key = db.scalars(select(AccessKey).where(AccessKey.account == id)).one()
    typer.echo(f"# account {id} ({name})")
    _print_key(deployment, key.id, deployment.vault.open(key.secret))


@app.command()
def keys(
    name: Annotated[str, typer.Argument(help="The account's name or its twelve digits.")],
    new: Annotated[bool, typer.Option("--new", help="Add a key and print it, the secret this once.")] = False,
    data: Data = None,
) -> None:
    """List an account's keys, or add one.

    Example: groundfog users keys ci --new > ci.env
    """
    from sqlalchemy import select

    from engine.seed import add_key
    from engine.state import AccessKey

    deployment = _open(data)
    if new:
        with deployment.database.write() as db:
            id, secret = add_key(db, deployment.vault, _account(db, name).id)
        _print_key(deployment, id, secret)
        return
    with deployment.database.read() as db:
        mine = select(AccessKey).where(AccessKey.account == _account(db, name).id).order_by(AccessKey.created)
        rows = [[key.id, "active" if key.active else "disabled", key.created] for key in db.scalars(mine)]
    show_table(["access key", "state", "created"], rows)


@app.command("disable-key")
def disable_key(
    id: Annotated[str, typer.Argument(help="The access key's id.")],
    enable: Annotated[bool, typer.Option("--enable", help="Let it sign requests again.")] = False,
    data: Data = None,
) -> None:
    """Refuse what is signed with a key, within five seconds.

    Example: groundfog users disable-key AKIAIOSFODNN7EXAMPLE
    """
    from engine.state import AccessKey

    with _open(data).database.write() as db:
        key = db.get(AccessKey, id)
        if key is None:
            raise Failure(f"cannot find the key {id}; see: groundfog users list")
        key.active = enable
    say(f"{id} is {'active' if enable else 'disabled'}")


def _open(data: Data) -> "Deployment":
    return open_existing(deployed(data))


def _account(db: "Session", name: str) -> "Account":
    from sqlalchemy import or_, select

    from engine.state import Account

    found = db.scalar(select(Account).where(or_(Account.name == name, Account.id == name)))
    if found is None:
        raise Failure(f"cannot find the account {name}; see: groundfog users list")
    return found


def _print_key(deployment: "Deployment", id: str, secret: str) -> None:
    """Print lines to be sourced."""
    settings = deployment.settings
    typer.echo(f"export AWS_ENDPOINT_URL={endpoint(settings)}")
    typer.echo(f"export AWS_ACCESS_KEY_ID={id}")
    typer.echo(f"export AWS_SECRET_ACCESS_KEY={secret}")
    typer.echo(f"export AWS_DEFAULT_REGION={min(deployment.regions)}")
