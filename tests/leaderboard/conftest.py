"""Stores to test on (SQLite, and a PostgreSQL server of our own) and recordings to submit."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from synthetic import picture, telemetry

from basalt.actions import validate_action
from basalt.recording import Recording, RecordingWriter
from leaderboard.store import Store, open_store
from leaderboard.study import StudyInfo, create_study, demo_study
from leaderboard.submissions import submit_recordings

SEEDS = (100_001, 100_002)
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))


def record(
    folder: Path,
    seed: int,
    *,
    player: str = "walker",
    cave_steps: int = 0,
    steps: int = 4,
    task: str = "find_cave",
    world: str = "test",
    world_version: str = "1",
    step_limit: int = 400,
) -> Recording:
    """A recording of ``steps`` steps that spends the last ``cave_steps`` states in a cave."""
    rng = np.random.default_rng(seed)
    colour = (30 + 20 * (sum(map(ord, player)) % 10), 90, 40 * (seed % 5))
    facts = [{"in_cave": t > steps - cave_steps} for t in range(steps + 1)]
    states = [telemetry(t).model_copy(update={"facts": facts[t]}) for t in range(steps + 1)]
    with RecordingWriter(
        folder, f"{task}-{seed}", task=task, world=world, world_version=world_version, seed=seed,
        player=player, player_kind="scripted", step_limit=step_limit,
    ) as writer:  # fmt: skip
        writer.begin(picture(colour, rng), states[0])
        for t in range(steps):
            action = validate_action({"ESC": int(t == steps - 1), "forward": 1})
            writer.step(action, action["camera"], picture(colour, rng), states[t + 1])
        return writer.finish("esc")


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of recordings of three players on SEEDS; by telemetry: good, then middling, then bad."""
    root = tmp_path_factory.mktemp("agents")
    for player, steps, cave in (("good", 4, 1), ("middling", 8, 1), ("bad", 6, 0)):
        for seed in SEEDS:
            record(root / player, seed, player=player, steps=steps, cave_steps=cave)
    return {player: root / player for player in ("good", "middling", "bad")}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL (without database) of a PostgreSQL server of the tests' own, on a socket in a new folder."""
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    binaries = POSTGRES[-1].parent
    # Short and outside pytest's folders: socket paths end at 107 characters, and the server's own
    # account must reach it.
    root = Path("/tmp") / f"pg-{uuid4().hex[:8]}"
    root.mkdir(mode=0o755)
    as_server: list[str] = []
    if os.getuid() == 0:
        shutil.chown(root, "postgres")
        as_server = ["runuser", "-u", "postgres", "--"]

    def run(*command: str) -> None:
        subprocess.run([*as_server, *command], check=True, capture_output=True, cwd="/")

    data = str(root / "data")
    run(str(binaries / "initdb"), "-D", data, "-U", "basalt", "-A", "trust", "-N")
    settings = f"-k {root} -c listen_addresses='' -c fsync=off"
    log = str(root / "log")
    run(str(binaries / "pg_ctl"), "-D", data, "-o", settings, "-l", log, "-w", "start")
    try:
        yield f"postgresql://basalt@/{{database}}?host={root}"
    finally:
        run(str(binaries / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Location and media folder of a store that does not exist yet, on both databases in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "store" / "leaderboard.sqlite"), tmp_path / "store" / "media"
    server: str = request.getfixturevalue("postgres_server")
    name = f"test_{uuid4().hex}"
    admin = sa.create_engine(
        server.format(database="postgres").replace("postgresql:", "postgresql+psycopg:"),
        isolation_level="AUTOCOMMIT",
    )
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return server.format(database=name), tmp_path / "media"


@pytest.fixture
def store(store_place: tuple[str, Path]) -> Iterator[Store]:
    opened = open_store(*store_place)
    yield opened
    opened.close()


@pytest.fixture
def study(store: Store) -> StudyInfo:
    return create_study(store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))


@pytest.fixture
def full_study(store: Store, study: StudyInfo, agents: dict[str, Path]) -> StudyInfo:
    """The study with the three players' episodes: six pairs."""
    for folder in agents.values():
        submit_recordings(store, study, folder)
    return study
