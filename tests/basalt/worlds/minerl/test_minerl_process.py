"""Starting and ending Minecraft, with a launch script that starts the stand-in in Java's place."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from basalt.core.tasks import get_task
from basalt.io.errors import MissingDependencyError
from basalt.io.paths import cache_dir
from basalt.worlds.minerl import process
from basalt.worlds.minerl.env import MinerlEnv
from basalt.worlds.minerl.process import (
    KEPT_LOGS,
    Minecraft,
    find_java,
    find_minecraft,
)
from basalt.worlds.minerl.protocol import Connection, MinecraftDied, MinecraftHung
from basalt.worlds.processes import find_xvfb
from tests.support import ROOT

SMALL = (64, 36)
STANDIN = ROOT / "tests" / "support" / "minerl_standin.py"
JAVA_8 = "echo 'openjdk version \"1.8.0_392\"' >&2"


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A built MineRL: launch script (which, like the real one, does not exec), jar, writable leftovers."""
    folder = tmp_path / "minerl" / "MCP-Reborn"
    script(
        folder / "launchClient.sh",
        f'cd "$(dirname "$0")"\n"{sys.executable}" "{STANDIN}" "$@"\nstatus=$?\nexit $status',
    )
    jar = folder / "build" / "libs" / "mcprec-6.13.jar"
    jar.parent.mkdir(parents=True)
    jar.write_text("jar")
    (folder / "saves").mkdir()
    (folder / "run" / "assets").mkdir(parents=True)
    (folder / "run" / "logs").mkdir()
    (folder / "options.txt").write_text("fov:70\n")
    java = script(tmp_path / "jdk8" / "bin" / "java", JAVA_8)
    monkeypatch.setenv("MINERL_HOME", str(tmp_path / "minerl"))
    monkeypatch.setenv("JAVA_HOME", str(java.parent.parent))
    return folder


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]
    except FileNotFoundError:
        return False


def descendants(pid):
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            children += [int(child), *descendants(int(child))]
    return children


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def test_a_process_has_port_display_folder_and_log_of_its_own(built):
    one, two = Minecraft(), Minecraft()
    try:
        assert one.address.port != two.address.port
        texts = [minecraft.log.read_text() for minecraft in (one, two)]
        displays = [text.split("display ")[1].split()[0] for text in texts]
        folders = [Path(text.split("folder ")[1].split()[0]) for text in texts]
        assert displays[0] != displays[1] and folders[0] != folders[1]
        for folder in folders:
            assert (folder / "build" / "libs" / "mcprec-6.13.jar").read_text() == "jar"
            assert (folder / "options.txt").is_file() and not (folder / "options.txt").is_symlink()
            assert not (folder / "saves").exists(), "what a game writes is its own"
            assert (folder / "run" / "assets").is_symlink()
            assert not (folder / "run" / "logs").exists()
    finally:
        one.close()
        two.close()
    assert not any(folder.exists() for folder in folders)
    assert "MalmoEnvServer" in one.log.read_text(), "logs are kept"
    assert (built / "build" / "libs" / "mcprec-6.13.jar").is_file(), "the build stays"


def test_closing_ends_everything_that_was_started(built):
    before = set(descendants(os.getpid()))
    minecraft = Minecraft()
    started = set(descendants(os.getpid())) - before
    # Two supervisors, Xvfb, the script and what it started.
    assert len(started) >= 5 and minecraft.running
    minecraft.close()
    assert not minecraft.running
    wait_until(lambda: not any(alive(pid) for pid in started))


def test_it_ends_with_its_parent_even_when_that_is_killed(built, tmp_path):
    code = textwrap.dedent("""
        import time
        from basalt.worlds.minerl.process import Minecraft
        minecraft = Minecraft()
        print(minecraft.address.port, minecraft.log, flush=True)
        time.sleep(60)
    """)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    _, log = parent.stdout.readline().split()
    folder = Path(Path(log).read_text().split("folder ")[1].split()[0])
    started = descendants(parent.pid)
    assert len(started) >= 5 and folder.is_dir()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not any(alive(pid) for pid in started))
    wait_until(lambda: not folder.exists())


def test_an_environment_starts_one_and_keeps_it_from_episode_to_episode(built):
    env = MinerlEnv(get_task("find_cave"), size=SMALL)
    assert env.minecraft is None, "nothing runs before the first reset"
    env.reset(seed=1)
    first = env.minecraft
    env.reset(seed=2)
    assert env.minecraft is first
    env.close()
    assert env.minecraft is None and not first.running


@pytest.mark.parametrize(
    ("faults", "error"), [({"hang_at": 2}, MinecraftHung), ({"die_at": 2}, MinecraftDied)]
)
def test_a_hung_or_dead_process_is_replaced_at_the_next_reset(built, monkeypatch, faults, error):
    monkeypatch.setenv("STANDIN_FAULTS", json.dumps(faults))
    env = MinerlEnv(get_task("find_cave"), size=SMALL, step_timeout_s=2.0)
    env.reset(seed=1)
    first = env.minecraft
    env.step({})
    with pytest.raises(error):
        env.step({})
    assert not first.running, "a process that hangs is ended"
    monkeypatch.delenv("STANDIN_FAULTS")
    env.reset(seed=1)
    assert env.minecraft is not first
    for _ in range(3):
        env.step({})
    env.close()


def test_a_process_that_ends_at_its_start_shows_its_last_words(built):
    script(built / "launchClient.sh", "echo 'Could not choose GLX13 config'; exit 1")
    with pytest.raises(MinecraftDied, match=r"GLX13 config.*the whole log: .*\.log"):
        Minecraft()


def test_a_start_that_takes_too_long_is_hung_and_progress_is_told(built, monkeypatch, capsys):
    monkeypatch.setenv("STANDIN_START_S", "60")
    monkeypatch.setattr(process, "REPORT_EVERY_S", 0.3)
    with pytest.raises(MinecraftHung, match=r"did not listen within 1\.5 s"):
        Minecraft(start_timeout_s=1.5)
    assert capsys.readouterr().err.startswith("Minecraft is starting (")


def test_only_the_latest_logs_are_kept(built, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "BASALT_CACHE", str(tmp_path / "cache")
    )  # other tests write logs at the same time
    folder = cache_dir() / "minerl" / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(KEPT_LOGS + 5):
        (folder / f"2000{number:04}.log").touch()
    Minecraft().close()
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == KEPT_LOGS and "20000000.log" not in left


def test_an_installed_package_is_found_without_importing_it(built, tmp_path, monkeypatch):
    monkeypatch.delenv("MINERL_HOME")
    (tmp_path / "minerl" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_minecraft() == built.resolve()


@pytest.mark.parametrize("place", [".", "MCP-Reborn"])
def test_the_built_folder_may_be_named_itself(built, monkeypatch, place):
    monkeypatch.setenv("MINERL_HOME", str(built.parent / place))
    assert find_minecraft() == built.resolve()


def test_what_is_not_built_or_not_there_is_said_with_its_mend(built, tmp_path, monkeypatch):
    (built / "build" / "libs" / "mcprec-6.13.jar").unlink()
    with pytest.raises(MissingDependencyError, match=r"\./gradlew clean build shadowJar"):
        find_minecraft()
    monkeypatch.setenv("MINERL_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(MissingDependencyError, match=r"no built MineRL 1.0 below .*nowhere; fix: "):
        find_minecraft()
    monkeypatch.delenv("MINERL_HOME")
    with pytest.raises(MissingDependencyError, match=r"neither \$MINERL_HOME"):
        find_minecraft()


def test_java_8_is_chosen_among_others(tmp_path, monkeypatch):
    new = script(tmp_path / "17" / "bin" / "java", "echo 'openjdk version \"17.0.15\"' >&2")
    old = script(tmp_path / "8" / "bin" / "java", JAVA_8)
    monkeypatch.setenv("JAVA_HOME", str(new.parent.parent))
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    assert find_java() == str(old)


def test_another_java_is_named_with_the_mend(tmp_path, monkeypatch):
    new = script(tmp_path / "17" / "bin" / "java", "echo 'openjdk version \"17.0.15\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(new.parent.parent))
    monkeypatch.setattr(process.shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"is Java 17.*openjdk-8-jre"):
        find_java()
    with pytest.raises(MissingDependencyError, match="apt-get install -y xvfb"):
        find_xvfb()


def test_the_launcher_gets_what_minerls_does(built, tmp_path):
    script(
        built / "launchClient.sh",
        f'echo "$@" > {tmp_path}/arguments; echo "$DISPLAY $(which java)" > {tmp_path}/surroundings\n'
        f'exec "{sys.executable}" "{STANDIN}" "$@"',
    )
    minecraft = Minecraft(max_memory="2G")
    try:
        words = (tmp_path / "arguments").read_text().split()
        assert words[:3] == ["-port", str(minecraft.address.port), "-env"]
        assert words[3] == "-runDir" and words[5:] == ["-maxMem", "2G"]
        display, java = (tmp_path / "surroundings").read_text().split()
        assert display.startswith(":") and java == f"{tmp_path}/jdk8/bin/java"
        connection = Connection(minecraft.address, SMALL)
        assert "Echo" in connection.echo()
        connection.close()
    finally:
        minecraft.close()
