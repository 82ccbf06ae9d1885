"""The supervising process, with small programs in place of the real ones."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from engine import supervisor
from engine.supervisor import Process
from settings import Settings

PROGRAM = """
    import sys, time, signal
    from pathlib import Path
    from engine import supervisor
    from settings import Settings

    def steady(settings):
        print("steady is here", flush=True)
        time.sleep(600)

    def stubborn(settings):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)

    def short(settings):
        raise ValueError("short of breath")

    supervisor._PATIENCE = 0.5
    supervisor.API = {name: globals()[name] for name in sys.argv[2].split(",")}
    print(supervisor.start(Settings(data=Path(sys.argv[1]), engine="simulated"), detach=sys.argv[3] == "detach"))
    sys.stdout.flush()
    time.sleep(0 if sys.argv[3] == "detach" else 600)
"""

Start = Callable[..., "subprocess.Popen[str]"]
Found = TypeVar("Found")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", engine="simulated")


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Start a deployment of these programs from a command of its own."""
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(PROGRAM))
    commands = []

    def start(*programs: str, detach: bool = True) -> "subprocess.Popen[str]":
        command = [sys.executable, str(file), str(settings.data), ",".join(programs), "detach" if detach else "stay"]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        commands.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        stdout = commands[-1].stdout
        assert stdout
        assert stdout.readline()
        return commands[-1]

    yield start
    supervisor.stop(settings)
    for command in commands:
        command.kill()
        command.communicate()


def running(settings: Settings, name: str) -> Process:
    """Wait for a process to run, and return it."""
    return next(p for p in wait_for(lambda: [p for p in supervisor.status(settings) if p.name == name and p.pid]))


def wait_for(look: Callable[[], Found], seconds: float = 15) -> Found:
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)
    return found


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


def test_processes_run_and_write_to_their_logs(settings: Settings, start: Start) -> None:
    start("steady")
    process = running(settings, "steady")
    assert Path(f"/proc/{process.pid}/comm").read_text().startswith("groundfog-s")
    wait_for(lambda: "steady is here" in supervisor.log_tail(settings, "steady"))
    assert [p.name for p in supervisor.status(settings)] == ["supervisor", "steady"]


def test_a_killed_process_is_started_again(settings: Settings, start: Start) -> None:
    start("steady")
    first = running(settings, "steady")
    os.kill(first.pid, signal.SIGKILL)
    second = wait_for(lambda: [p for p in supervisor.status(settings)[1:] if p.pid not in (0, first.pid)])[0]
    assert second.restarts == 1
    assert "steady was ended by SIGKILL; starting it again in 0.2 s" in supervisor.log_tail(settings, "supervisor")


def test_what_dies_again_and_again_is_started_ever_later(settings: Settings, start: Start) -> None:
    start("short")
    wait_for(lambda: "again in 0.8 s" in supervisor.log_tail(settings, "supervisor", 99))
    assert "ValueError: short of breath" in supervisor.log_tail(settings, "short")


def test_stop_ends_every_process(settings: Settings, start: Start) -> None:
    start("steady")
    pids = [supervisor.status(settings)[0].pid, running(settings, "steady").pid]
    assert supervisor.stop(settings)
    assert all(is_gone(pid) for pid in pids)
    assert supervisor.status(settings) == []
    assert not supervisor.stop(settings)


def test_what_ignores_sigterm_is_killed(settings: Settings, start: Start) -> None:
    start("stubborn", "steady")
    stubborn, steady = running(settings, "stubborn"), running(settings, "steady")
    time.sleep(0.3)  # until it has learnt to be stubborn
    assert supervisor.stop(settings)
    assert is_gone(stubborn.pid)
    assert is_gone(steady.pid)


def test_children_die_with_a_killed_supervisor(settings: Settings, start: Start) -> None:
    start("steady", "stubborn")
    children = [running(settings, name).pid for name in ("steady", "stubborn")]
    os.kill(supervisor.status(settings)[0].pid, signal.SIGKILL)
    wait_for(lambda: all(is_gone(pid) for pid in children))
    assert supervisor.status(settings) == []


def test_it_starts_again_after_a_crash_though_its_pid_file_names_a_living_process(
    settings: Settings, start: Start
) -> None:
    (settings.data / "run").mkdir(parents=True)
    (settings.data / "run" / "groundfog.pid").write_text(f"{os.getpid()}\n")
    assert supervisor.status(settings) == []
    start("steady")
    assert supervisor.status(settings)[0].pid not in (0, os.getpid())
    running(settings, "steady")


def test_in_the_foreground_it_ends_with_its_command(settings: Settings, start: Start) -> None:
    command = start("steady", detach=False)
    process = running(settings, "steady")
    command.kill()
    wait_for(lambda: is_gone(process.pid))


def test_a_deployment_has_one_supervisor(settings: Settings, start: Start) -> None:
    start("steady")
    with pytest.raises(supervisor.AlreadyRunning):
        supervisor.start(settings, detach=True)


def test_children_read_the_very_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        data=tmp_path, engine="simulated", port=18080, vlan_range=(7, 9), allow_reset=True, seed=tmp_path / "seed.toml"
    )
    toml = tmp_path / "groundfog.toml"
    toml.write_text("threads = 3\n")
    monkeypatch.setenv("GROUNDFOG_CONFIG", str(toml))
    for name, value in supervisor.environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_it_remembers_what_a_deployment_was_started_with(settings: Settings, start: Start) -> None:
    assert supervisor.running_settings(settings.data) is None
    start("steady")
    remembered = supervisor.running_settings(settings.data)
    assert remembered
    assert json.loads(remembered.model_dump_json()) == json.loads(settings.model_dump_json())


def test_what_another_version_was_started_with_does_not_keep_this_one_from_stopping_it(
    settings: Settings, start: Start
) -> None:
    start("steady")
    file = settings.data / "run" / "settings.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "setting_of_a_later_version": 1}))
    assert supervisor.running_settings(settings.data) == settings


def test_a_large_log_is_put_aside(settings: Settings, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = settings.data / "logs"
    logs.mkdir(parents=True)
    with (logs / "steady.log").open("wb") as file:
        file.truncate(17 << 20)
    start("steady")
    wait_for(lambda: (logs / "steady.log").stat().st_size < 1000)
    assert (logs / "steady.log.1").stat().st_size == 17 << 20
