"""The documentation says what is so: settings, commands and links are checked against the program.

``python -m tests.test_docs`` writes the table of settings anew.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo
from typer.main import get_command

from cli import app
from settings import Settings

ROOT = Path(__file__).parent.parent
CONFIGURATION = ROOT / "docs" / "configuration.md"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
BEGIN, END = "<!-- written by python -m tests.test_docs -->\n", "<!-- end -->\n"

FORBIDDEN = re.compile(
    r"\b(simply|seamless\w*|powerful|leverag\w+|robust|effortless\w*|TODO|FIXME|XXX)\b"  # praise, and what is not done
    r"|(?<![\w.])/(home|Users|work|mnt)/\w"  # paths of one machine
    r"|\b(pypi|npmjs|crates|rubygems|pythonhosted)\.\w+",
    re.IGNORECASE,
)


def settings_table() -> str:
    lines = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = " ".join((field.description or "").replace("``", "`").split())
        lines.append(f"| `{name}` | `GROUNDFOG_{name.upper()}` | {default_of(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def default_of(field: FieldInfo) -> str:
    """Return a default as it would be written in the variable."""
    value = field.get_default(call_default_factory=True)
    if value in (None, "", {}):
        return "none"
    if isinstance(value, tuple):
        value = [item if isinstance(item, int) else str(item) for item in value]
    return f"`{value if not isinstance(value, list | bool) else json.dumps(value)}`"


def write_table() -> None:
    before, _, rest = CONFIGURATION.read_text().partition(BEGIN)
    CONFIGURATION.write_text(before + BEGIN + settings_table() + END + rest.partition(END)[2])


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def fenced(text: str) -> Iterator[str]:
    """Give the commands in a page's shell blocks, continued lines joined."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language in ("", "bash"):
            yield from block.replace("\\\n", " ").splitlines()


def groundfog_commands(text: str) -> Iterator[list[str]]:
    """Give the words after ``groundfog`` of every command in shell blocks and in code spans."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in [*fenced(text), *spans]:
        command = re.match(r"(?:sudo |\w+=(?:'[^']*'|\S*) +)*(?:\.venv/bin/)?groundfog +([^#>|&]+)", line.strip())
        if command:
            yield shlex.split(command[1])


def refusal(words: list[str]) -> str:
    """Say what of a command line the program does not know; "" for one that it knows."""
    command: Any = get_command(app)
    while words and (commands := getattr(command, "commands", None)):
        name, *words = words
        if name not in commands:
            return f"no command {name}"
        command = commands[name]
    known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    unknown = [word for word in words if word.startswith("-") and word.partition("=")[0] not in {*known, "--help"}]
    return f"no option {unknown[0]}" if unknown else ""


def anchors(page: Path) -> set[str]:
    """Return the names by which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_table_of_settings_is_that_of_the_program() -> None:
    shown = CONFIGURATION.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown == settings_table(), "write it anew: python -m tests.test_docs"


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist(page: Path) -> None:
    refused = {" ".join(words): why for words in groundfog_commands(page.read_text()) if (why := refusal(words))}
    assert refused == {}


def test_commands_are_found_and_refused() -> None:
    page = (
        "`groundfog up --port 1` is\n```\nsudo A='b c' groundfog fly --high\ngroundfog images build x --nmae y\n```\n"
    )
    found = list(groundfog_commands(page))
    assert found == [["fly", "--high"], ["images", "build", "x", "--nmae", "y"], ["up", "--port", "1"]]
    assert [refusal(words) for words in found] == ["no command fly", "no option --nmae", ""]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_has_the_targets(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    asked = {match[1] for line in fenced(text) if (match := re.match(r"(?:\w+=\S* )*make (\w+)", line))}
    assert asked | set(re.findall(r"`make (\w+)", text)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_words_are_plain(page: Path) -> None:
    assert [match[0] for match in FORBIDDEN.finditer(page.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_lines_are_short(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert [line for line in lines if len(line) > 130 and not line.startswith("|")] == []


def decisions() -> list[Path]:
    return sorted((ROOT / "docs" / "decisions").glob("*.md"))


def test_decisions_are_numbered_one_page_each_and_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for number, page in enumerate(decisions(), 1):
        assert page.name.startswith(f"{number:04d}-")
        assert len(page.read_text().splitlines()) <= 40
        assert f"(decisions/{page.name})" in index


def test_paths_in_decisions_exist() -> None:
    places: list[Any] = [
        (p.name, path) for p in decisions() for path in re.findall(r"`(\w+/[\w/]+\.py)`", p.read_text())
    ]
    assert [place for place in places if not (ROOT / place[1]).exists()] == []


if __name__ == "__main__":
    write_table()
