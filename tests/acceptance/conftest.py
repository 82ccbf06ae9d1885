"""Fixtures: one real deployment for all tests that need one, and how long each file of real guests took."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.deployment import Deployment, deployed, why_not

_HERE = "tests/acceptance/"
_seconds: Counter[str] = Counter()


@pytest.fixture(scope="session")
def deployment(pytestconfig: pytest.Config) -> Iterator[Deployment]:
    """Up once for the whole run, gone with everything of it at its end."""
    if reason := why_not():
        pytest.skip(reason)
    assert pytestconfig.cache is not None
    with deployed(Path(pytestconfig.cache.mkdir("images"))) as found:
        yield found


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.nodeid.startswith(_HERE):
        _seconds[report.nodeid.partition("::")[0].removeprefix(_HERE)] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _seconds:
        each = ", ".join(f"{file} {seconds:.0f} s" for file, seconds in _seconds.most_common())
        terminalreporter.write_line(f"acceptance: {sum(_seconds.values()):.0f} s ({each})")
