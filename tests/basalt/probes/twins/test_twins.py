"""A library of twins: the same actions in a changed world, and windows in which only that change is seen."""

from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from basalt.cli import main as cli
from basalt.core.actions import validate_action
from basalt.core.recording import Recording, RecordingWriter
from basalt.core.telemetry import Creature, Telemetry
from basalt.core.video import FrameSize
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import find_checkpoint, load_policy
from basalt.probes.patching.probe import PatchReport
from basalt.probes.settings import TwinsConfig
from basalt.probes.twins.changes import CHANGES
from basalt.probes.twins.library import TwinLibrary
from basalt.probes.twins.make import make_twins
from basalt.probes.twins.windows import twin_windows
from basalt.worlds.edits import parse_edit
from tests.support.synthetic import telemetry
from tests.support.toy_world import CountingWorld

STEPS = 12


class EditedWorld(CountingWorld):
    """A block is a white square from step 4 on, a coal block is met at step 8, and an item is a bar from the start."""

    takes_edits = True

    def _block(self):
        return self._edit.block.to if self._edit is not None and self._edit.block else None

    def _frame(self):
        frame = super()._frame()
        if self._block() is not None and self._step >= 4:
            frame[: 3 * self._step, :16] = 255
        if self._edit is not None and self._edit.item:
            frame[-8:] = 255
        return frame

    def _state(self):
        met = self._block() == "default:coalblock" and self._step >= 8
        held = self._edit.item.to if self._edit is not None and self._edit.item else ""
        state = super()._state()
        return state.model_copy(update={"xpos": 7.0 if met else state.xpos, "held": held or ""})


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(_id: str, world: str, disable_env_checker: bool, **settings: object) -> EditedWorld:
        assert world == "test"
        return EditedWorld(**settings)

    monkeypatch.setattr(gymnasium, "make", make)


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small recordings, which the player ends itself at step 20."""
    folder = tmp_path_factory.mktemp("plays")
    for seed in range(100_000, 100_005):
        with RecordingWriter(
            folder, f"seed_{seed}", size=FrameSize(64, 36), task="find_cave", world="test", world_version="1",
            seed=seed, player="tester", player_kind="scripted", step_limit=100,
        ) as writer:  # fmt: skip
            frame = np.zeros((36, 64, 3), np.uint8)
            writer.begin(frame, telemetry(0))
            for t in range(20):
                action = validate_action({"forward": (t + seed) % 2, "ESC": t == 19})
                writer.step(action, action["camera"], frame, telemetry(t + 1))
            writer.finish("esc")
    return folder


def config(plays: Path, out: Path, **settings: object) -> TwinsConfig:
    settings = {"changes": ("black", "left", "item", "no_animal"), "count": 2, **settings}
    return TwinsConfig(data=str(plays), task="find_cave", out=str(out), steps=STEPS, **settings)


def test_twins_differ_by_their_change_alone_until_it_is_met(
    toy: None, plays: Path, tmp_path: Path
) -> None:
    library = make_twins(config(plays, tmp_path / "twins"))
    assert TwinLibrary.open(tmp_path / "twins") == library
    assert [(one.seed, one.change) for one in library.twins] == [
        (seed, name) for seed in (100_000, 100_001) for name in ("black", "left", "item")
    ]
    black, left, item = library.twins[:3]
    assert (black.seen, black.differs, black.fields) == (4, 8, ("xpos",))
    assert black.moment == 7, "the frame before it is met, at which the square is largest"
    assert (left.seen, left.differs, left.moment) == (4, None, STEPS - 1)
    assert (item.seen, item.differs, item.fields) == (0, None, ()), "the item itself is the change"
    assert black.picture > 1 and not any("no_animal" in line for line in library.lines()[2:8])
    assert "seed 100000, no_animal: no place for it, or nothing to change" in library.left_out
    changed = Recording.open(tmp_path / "twins" / black.changed)
    assert changed.meta is not None and changed.meta.edit == black.edit
    plain = Recording.open(tmp_path / "twins" / black.plain)
    assert plain.actions().buttons.tolist() == changed.actions().buttons.tolist()
    original = Recording.open(plays / "seed_100000")
    assert plain.actions().buttons.tolist() == original.actions().buttons[:STEPS].tolist()


def test_an_interrupted_library_is_resumed_and_another_refused(
    toy: None, plays: Path, tmp_path: Path
) -> None:
    out = tmp_path / "twins"
    make_twins(config(plays, out, count=1, changes=("left",)))
    before = CountingWorld.episodes
    library = make_twins(config(plays, out, count=1, changes=("left", "item")))
    assert len(library.twins) == 2 and CountingWorld.episodes == before + 1
    other = replace(config(plays, out, count=1, changes=("left",)), steps=10)
    with pytest.raises(ConfigError, match="another out=FOLDER"):
        make_twins(other)


def test_windows_end_where_the_twins_look_different_and_are_of_held_out_worlds(
    toy: None, plays: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "twins"
    make_twins(config(plays, out, count=5, changes=("black", "left")))
    _, info = load_policy(find_checkpoint(run), "cpu")
    windows = twin_windows(info, out, (), 3, 5)
    # Seeds 100000 to 100002 are those of the policy's training.
    assert [(one.twin.seed, one.twin.change) for one in windows] == [
        (100_003, "black"),
        (100_004, "black"),
        (100_003, "left"),
    ]
    first = windows[0]
    assert first.plain.shape == first.changed.shape == (5, 32, 32, 3)
    apart = np.abs(first.plain.astype(int) - first.changed).mean((1, 2, 3))
    assert apart[0] < 2 and (apart[1:] > 5).all() and apart.argmax() == 4
    assert [len(column) for column in first.action] == [1, 1, 1]
    with pytest.raises(ConfigError, match=r"expected some of black, left, got 'item'"):
        twin_windows(info, out, ("item",), 3, 5)
    with pytest.raises(ConfigError, match=r"seen at frame 29 or later, found none among 10"):
        twin_windows(info, out, (), 3, 30)
    patch = ["probe", "patch", f"checkpoint={run}", "data=folder", "pairs=twins", "device=cpu"]
    quick = ["frames=5", "count=4", "verify=2", "sets=0", f"out={tmp_path}/r.json"]
    assert cli.run([*patch, f"data.source={out}", "changes=[left]", *quick]) == 0
    report = PatchReport.read(tmp_path / "r.json")
    assert (report.pairs, report.n_pairs, report.episodes) == ("twins", 2, 2)
    assert report.change.value is not None and report.change.value > 0
    capsys.readouterr()
    assert cli.run([*patch, f"data.source={plays}", *quick]) == 1
    assert "expected a folder that `basalt probe twins` wrote" in capsys.readouterr().err


def test_faults_are_named(toy: None, plays: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown change 'blakc'; did you mean 'black'"):
        make_twins(config(plays, tmp_path / "a", changes=("blakc",)))
    with pytest.raises(ConfigError, match="of more than 500 steps, found none"):
        make_twins(replace(config(plays, tmp_path / "b"), steps=500))
    with pytest.raises(ConfigError, match="a change that fits one of 2 plays, none does"):
        make_twins(config(plays, tmp_path / "c", changes=("no_animal",)))


def at(**values: object) -> Telemetry:
    return telemetry(0).model_copy(update=values)


def test_blocks_are_put_where_the_player_looks_and_not_in_its_way() -> None:
    east = [at(xpos=float(x), ypos=10.0, yaw=90.0) for x in range(4)]
    assert CHANGES["black"](east) == {"block": {"position": [6, 12, 0], "to": "default:coalblock"}}
    left, right = (CHANGES[name](east)["block"]["position"] for name in ("left", "right"))
    assert left == [8, 12, 2] and right == [8, 12, -2], "x is to the right of z"
    back = [at(zpos=3.0), at(yaw=0.0)]
    assert CHANGES["bright"](back) is None, "the player was there"
    assert CHANGES["black"]([at(pitch=80.0, ypos=5.0)])["block"]["position"] == [0, 6, 3]


def test_items_and_animals_become_others() -> None:
    cow, pig = (
        Creature(kind=kind, id=number, position=(x, 0.0, 0.0), in_view=seen)
        for kind, number, x, seen in (("cow", 4, 9.0, True), ("pig", 5, 1.0, False))
    )
    seen = at(animals=(pig, cow), held="wheat", hotbar=2)
    assert CHANGES["no_animal"]([seen]) == {"animal": {"number": 4, "to": None}}
    assert CHANGES["other_animal"]([seen]) == {"animal": {"number": 4, "to": "sheep"}}
    assert CHANGES["item"]([seen]) == {"item": {"slot": 2, "to": None}}
    assert CHANGES["item"]([at()]) == {"item": {"slot": 0, "to": "torch"}}
    for name in CHANGES:
        edit = CHANGES[name]([seen])
        assert edit is not None and parse_edit(edit).to_json() == edit
    assert CHANGES["no_animal"]([at(animals=(pig,))]) is None
