"""The command ``groundfog``. What a command needs is imported when it runs: ``--help`` answers at once."""

import gc
import sys

import typer

from cli import capabilities, doctor, down, images, networks, reset, services, status, trace, up, users
from cli.terminal import complain

app = typer.Typer(
    name="groundfog",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def groundfog() -> None:
    """An EC2 endpoint for machines you own: the aws CLI, boto3 and Terraform work with it unchanged.

    Begin with `groundfog up --engine simulated --detach` for an endpoint without guests, or with `sudo groundfog up
    --detach` for real ones; then `source .groundfog/env` and `aws ec2 describe-images`.

    Every setting is also a variable GROUNDFOG_NAME of the environment and a line of groundfog.toml: `groundfog status
    --settings` prints them all. `--debug`, with any command, shows where a failure came from.
    """


app.command()(up.up)
app.command()(down.down)
app.command()(status.status)
app.command()(doctor.doctor)
app.add_typer(images.app, name="images")
app.add_typer(users.app, name="users")
app.add_typer(services.app, name="services")
app.add_typer(networks.app, name="networks")
app.command()(trace.trace)
app.command()(capabilities.capabilities)
app.command()(reset.reset)


def main() -> None:
    """Run the command line. A failure is one sentence on standard error, and exit status 1."""
    # A command is short, and most of it is spent on imports, which leave no garbage.
    gc.disable()
    debug = "--debug" in sys.argv
    try:
        app([argument for argument in sys.argv[1:] if argument != "--debug"])
    except Exception as error:
        if debug:
            raise
        complain(error)
        sys.exit(1)
