"""Only an engine that the shim can keep in step is started, and its packages have the release's names."""

import platform
import re
import subprocess
from pathlib import Path

import pytest

from basalt.io.errors import MissingDependencyError, WorldError
from basalt.io.paths import cache_dir
from basalt.worlds import make_env
from basalt.worlds.luanti import engine_check, game, native, worldcache
from tests.support import ROOT
from tests.support.world_behaviour import SEED


def compiled(folder: Path, body: str) -> Path:
    """A program whose main function has this body."""
    source = folder / "program.c"
    source.write_text(
        "#include <poll.h>\n#include <stdio.h>\n#include <sys/epoll.h>\n#include <time.h>\n"
        f"int main(void) {{ {body} }}\n"
    )
    program = folder / "program"
    subprocess.run([native.find_compiler(), str(source), "-o", str(program)], check=True)
    return program


EPOLL = "struct epoll_event event; return epoll_wait(0, &event, 1, 0);"


@pytest.mark.engine
def test_the_installed_engine_is_known():
    assert engine_check.unknown_waits(game.find_game()) == ()
    assert engine_check.known_game() == game.find_game()


@pytest.mark.engine
def test_the_threads_that_the_shim_holds_run_in_the_installed_engine():
    """Releases of the engine may rename its threads."""
    held = re.findall(r'strn?cmp\(name, "(\w+)"', native.SHIM.read_text())
    env = make_env("find_cave", size=(160, 90))
    try:
        env.reset(seed=SEED)
        threads = Path(f"/proc/{env.engine.process.program.pid}/task").glob("*/comm")
        names = {thread.read_text().strip() for thread in threads}
    finally:
        env.close()
    assert len(held) == 2
    assert all(any(name.startswith(start) for name in names) for start in held)


@pytest.mark.parametrize(
    ("body", "unknown"),
    [
        (EPOLL, ("epoll_wait",)),
        ("return clock_nanosleep(0, 0, 0, 0) + poll(0, 0, 0);", ("clock_nanosleep",)),
        ("struct timespec t; return poll(0, 0, 0) + clock_gettime(0, &t) + puts(\"\");", ()),
    ],
)  # fmt: skip
def test_calls_that_the_shim_does_not_know_are_found(tmp_path, body, unknown):
    assert engine_check.unknown_waits(str(compiled(tmp_path, body))) == unknown


def test_checked_and_64_bit_variants_are_the_same_calls(monkeypatch, tmp_path):
    imported = {"__poll_chk", "__ppoll_chk", "__clock_nanosleep64", "timerfd_settime", "lockf64"}
    known = {"poll", "__printf_chk", "__longjmp_chk", "curl_multi_poll", "pthread_mutex_lock"}
    program = tmp_path / "game"
    symbols = {program: (imported | known, set())}
    shim = (set(), {"poll"})
    monkeypatch.setattr(engine_check, "build_shim", lambda: tmp_path / "shim.so")
    monkeypatch.setattr(engine_check, "dynamic_symbols", lambda path: symbols.get(path, shim))
    assert engine_check.unknown_waits(str(program)) == tuple(sorted(imported))


@pytest.mark.engine
@pytest.mark.parametrize("mode", ["search", "play"])
def test_an_engine_with_an_unknown_call_is_refused(monkeypatch, tmp_path, mode):
    if mode == "play":
        saved = worldcache.SavedWorld(make_env("find_cave").task, tmp_path, {})
        monkeypatch.setattr(worldcache.SavedWorld, "copy_to", lambda _, folder: folder.mkdir())
        monkeypatch.setattr("basalt.worlds.luanti.games.saved_world", lambda *_: saved)
    program = compiled(tmp_path, EPOLL)
    monkeypatch.setattr(engine_check, "find_game", lambda: str(program))
    env = make_env("find_cave", size=(160, 90))
    try:
        with pytest.raises(WorldError, match=r"shim\.c does not know \(epoll_wait\)") as failure:
            env.reset(seed=SEED)
    finally:
        env.close()
    assert "\n" not in str(failure.value)


def test_what_is_no_program_has_no_symbols(tmp_path):
    (tmp_path / "game").write_text("#!/bin/sh\n")
    with pytest.raises(WorldError, match="expected an ELF program"):
        engine_check.unknown_waits(str(tmp_path / "game"))


def test_a_script_is_not_taken_for_the_game(monkeypatch, tmp_path):
    script = tmp_path / "luanti"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(game, "_PROGRAMS", (str(script),))
    with pytest.raises(MissingDependencyError, match="engine was not found"):
        game.find_game()
    program = compiled(tmp_path, "return 0;")
    monkeypatch.setattr(game, "_PROGRAMS", (str(script), str(program)))
    assert game.find_game() == str(program)


@pytest.mark.engine
def test_a_search_without_the_shim_is_refused_and_not_cached(monkeypatch, tmp_path):
    script = tmp_path / "luanti"
    script.write_text(f'#!/bin/sh\nexec {game.find_game()} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(worldcache, "known_game", lambda: str(script))
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WorldError, match="shim did not report") as failure:
        worldcache.saved_world(make_env("find_cave").task, SEED)
    assert "\n" not in str(failure.value)
    assert not list(cache_dir().rglob("site.json"))


@pytest.mark.engine
def test_a_game_that_fails_in_a_search_says_why(monkeypatch, tmp_path):
    script = tmp_path / "luanti"
    script.write_text("#!/bin/sh\necho 'ERROR: out of luck'\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(worldcache, "known_game", lambda: str(script))
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WorldError, match="the game failed: ERROR: out of luck"):
        worldcache.saved_world(make_env("find_cave").task, SEED)


@pytest.mark.parametrize(
    ("release", "packages"),
    [
        ("bookworm", game.OLD_PACKAGES),
        ("noble", game.OLD_PACKAGES),
        ("trixie", game.PACKAGES),
        ("the-next-one", game.PACKAGES),
    ],
)
def test_packages_by_release(monkeypatch, release, packages):
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"VERSION_CODENAME": release})
    assert game.engine_packages() == packages
    show = [
        "make",
        "--no-print-directory",
        "--eval",
        "show:;@echo $(ENGINE_PACKAGES)",
        "show",
        f"RELEASE={release}",
    ]
    made = subprocess.run(show, cwd=ROOT, capture_output=True, text=True, check=True)
    assert tuple(made.stdout.split()) == packages, "the Makefile installs others"
