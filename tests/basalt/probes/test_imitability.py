"""The gap is as large as what is hidden: known where a demonstrator acts on what only the referee knows, 0 where it does not."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from basalt.cli.main import run as basalt
from basalt.core.actions import (
    BUTTONS,
    COLUMN,
    NULL_CAMERA,
    EnvActions,
    VPTActions,
    env_to_indices,
    validate_action,
)
from basalt.core.recorder_lines import Label
from basalt.core.recording import RecordingWriter
from basalt.io.errors import ConfigError
from basalt.probes.imitability.features import features, table
from basalt.probes.imitability.gap import (
    ImitabilityReport,
    PhaseGap,
    imitability,
    losses_of,
    phases_of,
)
from basalt.probes.imitability.head import Classes
from basalt.probes.settings import ImitabilityConfig
from tests.support import synthetic
from tests.support.synthetic import BLUE, GREEN, RED, picture
from tests.support.tiny_policy import tiny_run

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS, CUE = 40, 20


def write_episode(folder: Path, seed: int, *, knowing: bool, labelled: bool = True) -> None:
    """A blue picture until the cue at step 20, then green or red: which says whether to strafe left or right, as it changes.

    The referee knows it from the start. A knowing player strafes from the start, another one walks until it sees.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 6, STEPS)
    left = np.repeat(rng.permutation(STEPS) % 2 == 0, lengths)[: STEPS + 1]

    def telemetry(t: int) -> Any:
        return synthetic.telemetry(t).model_copy(
            update={"facts": {"goal_left": bool(left[t]), "goal_in_view": t >= CUE}}
        )

    def frame(t: int) -> np.ndarray:
        return picture(BLUE if t < CUE else GREEN if left[t] else RED, rng)

    with RecordingWriter(
        folder, f"episode-{seed}", task="find_cave", world="test", world_version="1", seed=seed, player="tester",
        player_kind="scripted", step_limit=1000, labels="tester" if labelled else None,
    ) as writer:  # fmt: skip
        writer.begin(frame(0), telemetry(0))
        for t in range(STEPS):
            strafes = knowing or t >= CUE
            action = validate_action(
                {"left" if left[t] else "right": 1} if strafes else {"forward": 1}
            )
            label = Label(action, cue_visible=t >= CUE) if labelled else None
            writer.step(action, action["camera"], frame(t + 1), telemetry(t + 1), label)
        writer.finish("limit")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for seed in range(100_000, 100_012):
        write_episode(folder, seed, knowing=True)
    return folder


def config(tmp_path: Path, data: Path, **changes: Any) -> ImitabilityConfig:
    values: dict[str, Any] = {
        "policy": str(tiny_run(tmp_path / "policy")), "data": str(data), "task": "find_cave", "out": str(tmp_path / "out"), "steps": 300, "batch": 256,
        "hidden": 16, "components": 16, "workers": 0, "device": "cpu", "progress": False,
    }  # fmt: skip
    return ImitabilityConfig(**{**values, **changes})


def index_of(button: str) -> int:
    held = np.zeros((1, len(BUTTONS)), np.uint8)
    held[0, COLUMN[button]] = 1
    return int(env_to_indices(EnvActions(held, np.zeros((1, 2)))).buttons[0])


def planted(knowing: bool) -> dict[str, PhaseGap]:
    """The gap where latents show the goal from the cue on, among noise, and telemetry shows it always."""
    rng = np.random.default_rng(0)
    pixels, telemetry, taken, cues = [], [], [], []
    for _ in range(40):
        left = np.repeat(rng.random(60) < 0.5, rng.integers(2, 6, 60))[:60]
        cue = np.arange(60) >= 30
        shown = (cue * np.where(left, 1, -1))[:, None]
        pixels.append(np.concatenate([rng.normal(size=(60, 12)), shown, cue[:, None]], axis=1))
        telemetry.append(np.stack([left, cue], axis=1).astype(float))
        strafe = np.where(left, index_of("left"), index_of("right"))
        buttons = np.where(cue | knowing, strafe, index_of("forward"))
        taken.append(VPTActions(buttons, np.full(60, NULL_CAMERA), np.zeros(60, bool)))
        cues.append(cue)
    sides = [range(20), range(20, 27), range(27, 40)]
    classes = Classes(VPTActions(*map(np.concatenate, zip(*taken[:20], strict=True))))
    actions = [classes.of(one) for one in taken]
    cfg = ImitabilityConfig(policy="", data="", task="find_cave", steps=300, batch=256, hidden=16)
    losses = {
        "pixels": losses_of(pixels, actions, sides, classes, cfg),
        "telemetry": losses_of(telemetry, actions, sides, classes, cfg),
        "frequencies": losses_of([np.zeros((60, 1))] * 40, actions, sides, classes, cfg),
    }
    return phases_of(losses, [cues[number] for number in sides[2]])


def test_the_gap_before_the_cue_is_what_a_knowing_player_hides() -> None:
    found = planted(knowing=True)
    # One of two equally likely actions, which frames do not show: ln 2 nats, and a little for chance patterns.
    assert found["before"].gap.value == pytest.approx(math.log(2), abs=0.1)
    assert found["before"].gap.interval is not None and found["before"].gap.interval[0] > 0.5
    assert found["after"].gap.value == pytest.approx(0, abs=0.05)
    assert found["before"].frames == found["after"].frames == 13 * 30


def test_there_is_no_gap_where_the_player_acts_on_what_it_sees() -> None:
    found = planted(knowing=False)
    for phase in ("all", "before", "after"):
        assert found[phase].gap.value == pytest.approx(0, abs=0.05)
        frequencies, pixels = found[phase].frequencies.value, found[phase].pixels.value
        assert frequencies is not None and pixels is not None and frequencies > pixels + 0.4


def test_from_recordings_the_gap_is_before_the_cue(tmp_path: Path, recordings: Path) -> None:
    report = imitability(config(tmp_path, recordings))
    before, after = report.phases["before"].gap.value, report.phases["after"].gap.value
    assert before is not None and after is not None and before > 0.4 and before > after + 0.3
    assert report.phases["all"].frames == 4 * STEPS and report.policy_places == 0
    assert ImitabilityReport.read(tmp_path / "out/report.json") == report
    assert any(line.startswith("before") for line in report.lines())


def test_recordings_without_a_cue_have_one_phase(tmp_path: Path) -> None:
    for seed in range(100_000, 100_004):
        write_episode(tmp_path / "data", seed, knowing=True, labelled=False)
    report = imitability(config(tmp_path, tmp_path / "data", steps=30))
    assert list(report.phases) == ["all"] and report.phases["all"].frames == 2 * STEPS
    assert "cueVisible" in report.lines()[-1]


def test_places_are_relative_to_the_player() -> None:
    """At (10, 5, 0), looking along +x: a place at (13, 6, -4) is 3 ahead, 4 to the right and 1 above."""
    states = [
        synthetic.telemetry(t).model_copy(
            update={"xpos": 10.0, "ypos": 5.0, "yaw": 90.0, "facts": {"in_cave": True, "name": "x"}}
        )
        for t in range(2)
    ]
    site = {
        "cave": [13.0, 6.0, -4.0],
        "path": [[0.0, 0.0, 0.0], [10.0, 5.0, 1.0], [10.0, 5.0, 9.0]],
        "depth": 7,
    }
    frame = features(states, site)
    found = frame.iloc[0]
    for name, value in (
        ("site.cave.forward", 3), ("site.cave.right", 4), ("site.cave.up", 1), ("site.cave.away", 5),
        ("site.cave.bearing.cos", 0.6), ("site.path.right", -1), ("site.path.next.right", -9), ("site.depth", 7),
        ("yaw.sin", 1), ("facts.in_cave", 1), ("before.away", 0),
    ):  # fmt: skip
        assert found[name] == pytest.approx(value, abs=1e-6), name
    assert "facts.name" not in found and len(frame) == 1
    rows = table([frame, frame.drop(columns="site.depth")])
    assert rows[0].shape == rows[1].shape == (1, len(found)) and (rows[0] - rows[1]).sum() == 7


def test_it_is_a_probe_with_errors_of_one_line(
    tmp_path: Path, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tiny_run(tmp_path / "policy")
    given = [
        f"policy={policy}",
        "data=folder",
        f"data.source={recordings}",
        f"out={tmp_path / 'out'}",
        "device=cpu",
    ]
    assert (
        basalt(
            [
                "probe",
                "imitability",
                *given,
                "workers=0",
                "task=find_cave",
                "steps=30",
                "progress=false",
            ]
        )
        == 0
    )
    assert "imitability gap of" in capsys.readouterr().out
    assert basalt(["probe", "imitability", *given, "step=30"]) == 1
    assert "did you mean" in capsys.readouterr().err
    write_episode(tmp_path / "held", 230_001, knowing=True)
    with pytest.raises(ConfigError, match="230001 is a held-out seed"):
        imitability(config(tmp_path, tmp_path / "held"))
