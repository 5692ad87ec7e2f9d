"""Labels are what telemetry says, and what is about to be; what would come after the end is not known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents.hybrid import labels
from agents.hybrid.labels import AHEAD, Label, check_name, label, names
from basalt.core.actions import null_action, validate_action
from basalt.core.recording import Recording, RecordingWriter
from basalt.core.tasks import get_task
from basalt.io.errors import ConfigError
from basalt.worlds.luanti.land import FREE, GROUND, Land
from basalt.worlds.luanti.version import world_version
from tests.support import synthetic
from tests.support.synthetic import BLUE, picture

STEPS = 200


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """In a cave in steps 100 to 119; walks, but stands from 130 on, where it holds forward until 179."""

    def telemetry(t: int) -> Any:
        at = float(min(t, 130))
        return synthetic.telemetry(t).model_copy(
            update={"xpos": 0.2 * at, "facts": {"in_cave": 100 <= t < 120, "fall_height": t / 10}}
        )

    with RecordingWriter(
        tmp_path_factory.mktemp("labels"), "episode", task="find_cave", world="test", world_version="1", seed=100_000,
        player="tester", player_kind="scripted", step_limit=1000,
    ) as writer:  # fmt: skip
        frame = picture(BLUE, np.random.default_rng(0))
        writer.begin(frame, telemetry(0))
        for t in range(STEPS):
            action = validate_action({"forward": int(t < 180)})
            writer.step(action, action["camera"], frame, telemetry(t + 1))
        return writer.finish("limit")


def found(name: str, recording: Recording) -> Label:
    one = label(name, recording)
    assert one is not None and len(one.holds) == len(one.known) == STEPS
    return one


def test_a_fact_is_known_everywhere(recording: Recording) -> None:
    one = found("in_cave", recording)
    assert np.flatnonzero(one.holds).tolist() == list(range(100, 120)) and one.known.all()
    assert np.flatnonzero(found("fall_is_high", recording).holds).tolist() == list(range(30, STEPS))


def test_soon_is_before_a_fact_holds_and_is_not_known_near_the_end(recording: Recording) -> None:
    one = found("soon_in_cave", recording)
    assert np.flatnonzero(one.holds).tolist() == list(range(100 - AHEAD, 100))
    assert np.flatnonzero(~one.known).tolist() == list(range(STEPS - AHEAD, STEPS))
    late = found("soon_fall_is_high", recording)
    assert late.holds[:30].all() and not late.holds[30:].any() and late.known.all()


def test_stuck_is_forward_without_getting_anywhere(recording: Recording) -> None:
    one = found("stuck", recording)
    # From 128 on it moves 0.4 nodes or less in 40 steps; from 160 on forward is held in at most half of them.
    assert np.flatnonzero(one.holds).tolist() == list(range(128, 160))
    assert np.flatnonzero(~one.known).tolist() == list(range(STEPS - AHEAD + 1, STEPS))
    assert found("soon_stuck", recording).holds[128 - AHEAD : 128].all()


def test_what_is_not_reported_is_no_label_and_no_head(recording: Recording) -> None:
    assert label("water_in_view", recording) is None
    assert label("soon_water_in_view", recording) is None
    for name in names():
        check_name(name, "heads")
        check_name(f"soon_{name}", "heads")
    with pytest.raises(ConfigError, match="heads: unknown head 'in_cove'; did you mean 'in_cave'"):
        check_name("in_cove", "heads")


def walks_to_a_wall(folder: Path, version: str) -> Recording:
    """Walks towards a wall eight nodes away, turns round there at step 120, and pours at step 150."""

    def telemetry(t: int) -> Any:
        facts = {"water_poured": int(t >= 150)}
        place = {"xpos": 20.0, "ypos": 9.5, "zpos": 12.0 + 0.1 * min(t, 100)}
        yaw = 0.0 if t < 120 else 180.0
        return synthetic.telemetry(t).model_copy(update={**place, "yaw": yaw, "facts": facts})

    with RecordingWriter(
        folder, "wall", task="make_waterfall", world="luanti", world_version=version, seed=100_000,
        player="tester", player_kind="scripted", step_limit=1000,
    ) as writer:  # fmt: skip
        frame = picture(BLUE, np.random.default_rng(0))
        writer.begin(frame, telemetry(0))
        for t in range(STEPS):
            writer.step(null_action(), (0.0, 0.0), frame, telemetry(t + 1))
        return writer.finish("limit")


def test_a_wall_is_ahead_where_water_would_fall_down_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = np.full((40, 30, 40), FREE, np.uint8)
    kinds[:, :10] = GROUND
    kinds[:, :20, 25:] = GROUND
    land = Land((0, 0, 0), kinds, np.full(kinds.shape, 15, np.uint8))
    monkeypatch.setattr(labels, "saved_world", lambda task, seed: SimpleNamespace(folder=tmp_path))
    monkeypatch.setattr(labels, "read_land", lambda folder, x, z: land)
    here = world_version(get_task("make_waterfall"))
    one = found("wall_ahead", walks_to_a_wall(tmp_path / "here", here))
    # From z = 22 on the view meets the wall within reach.
    assert np.flatnonzero(one.holds).tolist() == list(range(100, 120))
    assert np.flatnonzero(~one.known).tolist() == list(range(150, STEPS))
    assert not found("edge_ahead", walks_to_a_wall(tmp_path / "edge", here)).holds.any()
    with pytest.raises(ConfigError, match="expected a recording of the installed world"):
        label("wall_ahead", walks_to_a_wall(tmp_path / "old", "old"))


def test_an_episode_shorter_than_what_lies_ahead_has_no_stuck_frame(tmp_path: Path) -> None:
    short = synthetic.write_episode(tmp_path, 100_000, 20)
    one = label("stuck", short)
    assert one is not None and not one.holds.any() and not one.known.any()


def test_a_drop_is_ahead_within_four_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = np.full((40, 30, 40), FREE, np.uint8)
    kinds[:, :10] = GROUND
    kinds[:, 3:10, 24:] = FREE
    land = Land((0, 0, 0), kinds, np.full(kinds.shape, 15, np.uint8))
    monkeypatch.setattr(labels, "saved_world", lambda task, seed: SimpleNamespace(folder=tmp_path))
    monkeypatch.setattr(labels, "read_land", lambda folder, x, z: land)
    one = found("drop_ahead", walks_to_a_wall(tmp_path, world_version(get_task("make_waterfall"))))
    # The edge is at z = 23.5, which is 4 nodes away at step 75; at step 120 the player turns round.
    assert np.flatnonzero(one.holds).tolist() == list(range(75, 120)) and one.known.all()
