"""Twins: one thing of a saved world changed, and nothing else until it matters."""

import math

import numpy as np
import pytest

from basalt.cli.rollout import main as rollout_main
from basalt.core.recording import Recording
from basalt.core.recording_checks import check_recording
from basalt.io.errors import ConfigError
from basalt.rollouts.replay import replay
from basalt.worlds import make_env
from basalt.worlds.edits import edit_of, parse_edit
from tests.support.minerl_standin import StandIn
from tests.support.world_behaviour import SEED

SMALL = (160, 90)


# ---- the schema ----


@pytest.mark.parametrize(
    "content",
    [
        {"block": {"position": [1, -2, 3], "to": "air"}},
        {"item": {"slot": 0, "to": "torch", "quantity": 3}},
        {"item": {"slot": 35, "to": None}},
        {"animal": {"number": 3, "to": "sheep"}},
        {"animal": {"number": 3, "to": None}},
        {"animal": {"number": 3, "position": [1, 2, 3]}},
    ],
)
def test_edits_come_back_as_they_were_given(content):
    assert parse_edit(content).to_json() == content
    assert edit_of({"edit": content}) == parse_edit(content)


def test_no_edit_is_none():
    assert edit_of(None) is edit_of({}) is edit_of({"edit": None}) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "edit: expected exactly one of block, item, animal"),
        (
            {"block": {"position": [1, 2, 3], "to": "air"}, "item": {"slot": 0, "to": None}},
            "got 2",
        ),
        ({"blok": {}}, r"edit\.blok: Extra inputs"),
        ({"block": {"position": [1, 2], "to": "air"}}, r"edit\.block\.position"),
        ({"block": {"position": [1, 2, 0.5], "to": "air"}}, r"edit\.block\.position"),
        ({"block": {"position": [1, 2, 3], "to": "x/../y"}}, r"edit\.block\.to"),
        ({"item": {"slot": 36, "to": "torch"}}, r"edit\.item\.slot"),
        ({"item": {"slot": 0, "to": "torch", "quantity": 0}}, r"edit\.item\.quantity"),
        ({"animal": {"number": 3}}, "either another kind"),
        ({"animal": {"number": 3, "to": "cow", "position": [1, 2, 3]}}, "either another kind"),
        ({"animal": {"number": 3, "position": None}}, "either another kind"),
        ({"animal": {"number": 0, "to": "cow"}}, r"edit\.animal\.number"),
        ({"animal": {"number": 3, "to": "dragon"}}, r"edit\.animal\.to"),
        ("block", "edit: "),
    ],
)
def test_what_is_no_edit_is_named(content, words):
    with pytest.raises(ConfigError, match=words):
        parse_edit(content)


def test_an_unknown_option_is_named():
    with pytest.raises(ConfigError, match="unknown option 'edits'; available: edit"):
        edit_of({"edits": {}})


def test_minecraft_takes_no_edits():
    with StandIn() as standin:
        env = make_env("find_cave", "minerl", address=standin.address)
        with pytest.raises(ConfigError, match="takes no edits"):
            env.reset(seed=SEED, options={"edit": {"item": {"slot": 0, "to": "torch"}}})
        env.close()


# ---- in the world ----


@pytest.fixture
def twins():
    made = [make_env("find_cave", size=SMALL) for _ in range(2)]
    yield made
    for env in made:
        env.close()


def both(twins, action):
    return [env.step(action) for env in twins]


def difference(a, b):
    return float(np.abs(a["pov"].astype(np.int16) - b["pov"]).mean())


def behind(site, distance):
    """A place at the height of the head, that many nodes along an axis behind the player at its start, and the turn to face it.

    Along an axis: at the edge of a node that is met corner first, some engines let the player slide past.
    """
    x, y, z = (round(part) for part in site["spawn"])
    back = 90 * round((site["spawn_yaw"] + 180) / 90)
    yaw = math.radians(back)
    position = [round(x + distance * math.sin(yaw)), y + 1, round(z + distance * math.cos(yaw))]
    return position, math.remainder(back - site["spawn_yaw"], 360)


@pytest.mark.engine
def test_a_block_changes_nothing_until_it_is_seen_and_met(twins):
    ours, theirs = twins
    first, info = ours.reset(seed=SEED)
    position, turn = behind(info["site"], 2)
    edit = {"block": {"position": position, "to": "default:goldblock"}}
    second, twin_info = theirs.reset(seed=SEED, options={"edit": edit})
    assert twin_info["edit"] == edit and "edit" not in info
    assert ours.version == theirs.version
    assert info["telemetry"] == twin_info["telemetry"] and difference(first, second) <= 0.2

    # Nothing of it is in the picture.
    for t in range(20):
        (a, *_, info), (b, *_, twin_info) = both(twins, {"camera": [1.0, 3.0 * (-1) ** (t // 5)]})
        assert info["telemetry"] == twin_info["telemetry"]
        assert difference(a, b) <= 0.2
    # It comes into sight: what is seen differs, what is true of the player does not.
    for _ in range(20):
        (a, *_, info), (b, *_, twin_info) = both(twins, {"camera": [-1.0, turn / 20]})
        assert info["telemetry"] == twin_info["telemetry"]
    assert difference(a, b) > 1
    # It is in the way.
    for _ in range(20):
        (*_, info), (*_, twin_info) = both(twins, {"forward": 1})
    assert twin_info["telemetry"].distance_walked < 1.5 < info["telemetry"].distance_walked

    # The saved world is as it was.
    for env in twins:
        again, info = env.reset(seed=SEED)
        assert "edit" not in info and difference(again, first) <= 0.2


@pytest.mark.engine
def test_an_item_is_all_that_differs(twins):
    ours, theirs = twins
    ours.reset(seed=SEED)
    theirs.reset(
        seed=SEED, options={"edit": {"item": {"slot": 0, "to": "cobblestone", "quantity": 3}}}
    )

    def apart():
        now = [env.step(action)[-1]["telemetry"].model_dump() for env in twins]
        return {name for name in now[0] if now[0][name] != now[1][name]}, now

    for t in range(30):
        action = {"forward": 1, "jump": t % 2, "camera": [0.0, 2.0]}
        differing, states = apart()
        assert differing == {"held", "inventory"}
    assert states[1]["held"] == "cobblestone"
    assert list(states[1]["inventory"]) == [{"type": "cobblestone", "quantity": 3, "slot": 0}]
    for t in range(12):
        action = {"use": t % 4 // 3, "camera": [6.0, 0.0]}
        differing, states = apart()
    assert differing == {"held", "inventory", "facts"} or "ypos" in differing
    assert states[1]["facts"]["nodes_placed"] > states[0]["facts"]["nodes_placed"] == 0


@pytest.mark.engine
def test_what_the_world_does_not_have_is_refused(twins):
    env, _ = twins
    _, info = env.reset(seed=SEED)
    x, y, z = (round(part) for part in info["site"]["spawn"])
    free = behind(info["site"], 2)[0]
    for edit, words in (
        ({"block": {"position": free, "to": "chese"}}, r"edit\.block\.to: the game has no block"),
        ({"block": {"position": free, "to": "air"}}, r"edit\.block\.to: is there already"),
        ({"block": {"position": [x, y, z], "to": "stone"}}, "the player begins there"),
        ({"block": {"position": [9999, y, z], "to": "stone"}}, "outside the saved land"),
        ({"item": {"slot": 3, "to": "chese"}}, r"edit\.item\.to: the game has no item chese"),
    ):
        with pytest.raises(ConfigError, match=words) as failure:
            env.reset(seed=SEED, options={"edit": edit})
        assert "\n" not in str(failure.value)
    env.reset(seed=SEED)
    assert env.step({})[-1]["telemetry"].step == 1


def animals(info):
    """Number to (kind, x, y, z) of the animals that telemetry reports."""
    return {one.id: (one.kind, *one.position) for one in info["telemetry"].animals}


@pytest.mark.long
@pytest.mark.engine
def test_one_animal_is_another_kind_elsewhere_or_gone_and_the_others_go_their_ways():
    ours, theirs = (make_env("create_village_animal_pen", size=SMALL) for _ in range(2))
    try:
        _, info = ours.reset(seed=SEED)
        creatures = info["site"]["creatures"]
        number = next(k for k, one in enumerate(creatures, start=1) if one["kind"] == "cow")
        walk = [{}] * 12
        before = [animals(info)] + [animals(ours.step(action)[-1]) for action in walk]
        x, y, z = creatures[number - 1]["at"]
        free = [x, y + 1, z]
        for change, expected in (
            ({"to": "pig"}, lambda one: one[0] == "pig"),
            ({"to": None}, lambda one: one is None),
            ({"position": free}, lambda one: one[0] == "cow"),
        ):
            edit = {"animal": {"number": number, **change}}
            _, info = theirs.reset(seed=SEED, options={"edit": edit})
            after = [animals(info)] + [animals(theirs.step(action)[-1]) for action in walk]
            for was, now in zip(before, after, strict=True):
                assert expected(now.pop(number, None))
                was = {key: value for key, value in was.items() if key != number}
                assert now == was, "all the others are where they would be"
        villager = next(k for k, one in enumerate(creatures, start=1) if one["kind"] == "villager")
        for change, words in (
            ({"number": 999, "to": "pig"}, "there is no animal 999"),
            ({"number": villager, "to": "pig"}, f"there is no animal {villager}"),
            ({"number": number, "to": "cow"}, "is a cow already"),
            ({"number": number, "position": [x, y - 1, z]}, "inside a block of"),
        ):
            with pytest.raises(ConfigError, match=words):
                theirs.reset(seed=SEED, options={"edit": {"animal": change}})
    finally:
        ours.close()
        theirs.close()


@pytest.mark.engine
def test_a_recorded_twin_says_its_edit_and_replays_with_it(tmp_path):
    item = "{item: {slot: 0, to: torch, quantity: 5}}"
    arguments = ["agent=random", f"seeds={SEED}", "max_steps=25", f"out={tmp_path}"]
    assert rollout_main([*arguments, f"edit={item}"]) == 0
    recording = Recording.open(tmp_path / f"seed_{SEED}")
    check_recording(recording)
    assert recording.meta.edit == {"item": {"slot": 0, "to": "torch", "quantity": 5}}
    assert recording.telemetry()[0].held == "torch"
    assert replay(recording).exact
    with pytest.raises(ConfigError, match=r"this rollout was made with edit=.* not edit=None"):
        rollout_main(arguments)
    with pytest.raises(ConfigError, match=r"edit\.item\.slot"):
        rollout_main([*arguments, "edit={item: {slot: 99, to: torch}}"])
