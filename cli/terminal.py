"""What commands say: lines, tables, and failures that say what to do."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import typer

_PIPE_WIDTH = 240
"""Columns of a table that no terminal bounds: a program that reads it wants whole words."""


class Failure(Exception):
    """What a command cannot do: one sentence that begins with "cannot" and ends with the way out."""


@cache
def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def say(line: str = "") -> None:
    typer.echo(line)


def progress(line: str) -> None:
    """Say what goes on, on standard error: what a command answers may be piped elsewhere."""
    typer.secho(f"  {line}", err=True, dim=True)


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of bytes on standard error; what is given is told those done and those expected (0: not known)."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(label, total=None)
        yield lambda done, whole: shown.update(task, completed=done, total=whole or None)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    _console().print(table)


def colour(text: str, style: str) -> Any:
    """Return text for a cell in a colour."""
    from rich.text import Text

    return Text(text, style=style)


def colour_of(text: str, style: str) -> str:
    """Return text for a line in a colour; what is piped elsewhere has none."""
    return typer.style(text, fg=style)


def complain(error: Exception) -> None:
    typer.secho(sentence(error), err=True, fg="red")


def sentence(error: Exception) -> str:
    """Return one sentence that begins with "cannot", whatever went wrong."""
    text = str(error).strip()
    if text.startswith("cannot"):
        return text
    if hasattr(error, "errors"):
        return f"cannot use these settings: {reason(error)}; see: groundfog status --settings"
    if type(error).__module__.startswith("sqlalchemy"):
        said = str(getattr(error, "orig", None) or text).splitlines()[0]
        return f"cannot use the database: {said}; look at it with: groundfog doctor"
    if isinstance(error, PermissionError):
        return f"cannot open {error.filename}: you may not; run it as the user who ran groundfog up, or as root"
    if isinstance(error, OSError):
        return f"cannot go on: {error.strerror or text}: {error.filename or ''}; look with: groundfog doctor"
    return f"cannot go on: {type(error).__name__}: {text}; run it again with --debug to see where"


def reason(error: Exception) -> str:
    """Return what an error says, in one line; what pydantic found wrong is said field by field."""
    errors: Any = getattr(error, "errors", None)
    if not callable(errors):
        return " ".join(str(error).split())
    found = []
    for one in errors():
        place = ".".join(str(part) for part in one["loc"])
        message = one["msg"].removeprefix("Value error, ")
        found.append(f"{place}: {message}" if place else message)
    return "; ".join(found)
