"""Scripts that act only on what has been in view, on planted land and with a player that is a few lines of Python."""

import hashlib
import itertools
import math
from functools import cache

import numpy as np
import pytest

from agents.demonstrator.agent import IMITABLE as IMITABLE_TASKS
from agents.demonstrator.agent import LABEL_ANY_PLAY, NOISE_STEPS, Demonstrator, Noise
from agents.demonstrator.imitable.find_cave import INSIDE, FindCave
from agents.demonstrator.imitable.hollows import Hollows
from agents.demonstrator.imitable.make_waterfall import MakeWaterfall
from agents.demonstrator.imitable.strider import Strider
from agents.demonstrator.wilds import Wilds, find_lips
from basalt.core.actions import null_action
from basalt.io.errors import ConfigError
from basalt.worlds.luanti.land import FREE, GROUND, LIQUID, Land
from tests.support import ROOT
from tests.support.planted_land import SITE, START, Player, land, part, play
from tests.support.synthetic import telemetry

IMITABLE = ROOT / "agents" / "demonstrator" / "imitable"
FROZEN = {
    "__init__.py": "c6bc5f62f7ee",
    "find_cave.py": "38c620d7695f",
    "hollows.py": "290b68173453",
    "make_waterfall.py": "81a33e7f89e8",
    "strider.py": "3149b4202d1c",
    "village.py": "ade21d4ca2ab",
}


def same(one, other):
    return all(np.array_equal(one.expert[key], other.expert[key]) for key in one.expert)


def test_it_finds_a_cave_and_ends_in_it_a_fixed_time_later():
    ground = land((95, 60))
    player = Player(ground)
    inside = []
    script = FindCave(SITE, ground)
    labels, state = [], player.state()
    while not labels or not labels[-1].expert["ESC"]:
        assert len(labels) < 1500
        inside.append(state.facts["in_cave"])
        labels.append(script.label(state))
        state = player.do(labels[-1].expert)
    assert inside[-INSIDE:] == [True] * INSIDE and not inside[-INSIDE - 1]
    cues = [label.cue_visible for label in labels]
    first = cues.index(True)
    assert first > 0 and all(cues[first:]) and not any(cues[:first])


def test_a_cave_that_was_not_in_view_changes_nothing():
    """The same pictures so far, the same actions so far: without that nobody can imitate it."""
    ground = land((95, 60))
    labels = play(FindCave(SITE, ground), Player(ground))
    cue = [label.cue_visible for label in labels].index(True)
    hill = land((95, 60), tunnel=False)
    bare, player = FindCave(SITE, hill), Player(hill)
    state = player.state()
    for label in labels[: cue - 4]:  # a cave has to be in view in two looks
        other = bare.label(state)
        assert same(other, label) and not other.cue_visible
        state = player.do(other.expert)


@cache
def hollow(holds=FREE, wall=False):
    """Level ground with a hollow, and perhaps a wall before it."""
    kinds = np.zeros((140, 34, 140), np.uint8)
    kinds[:, :15] = GROUND
    kinds[56:66, 9:15, 80:90] = holds
    if wall:
        kinds[40:80, 15:22, 70:72] = GROUND
    return Land((0, 0, 0), kinds, np.full(kinds.shape, 15, np.uint8))


EYE = (60.0, 16.1, 60.0)


def test_a_hollow_is_noticed_when_its_rim_is_in_view():
    hollows = Hollows(hollow())
    x, y, z = hollows.in_view(EYE, 0.0, 10.0, 30.0)
    assert 54 <= x <= 67 and y == 15 and 78 <= z <= 79  # the near rim
    assert hollows.in_view(EYE, 180.0, 10.0, 30.0) is None  # behind
    assert hollows.in_view(EYE, 0.0, 10.0, 15.0) is None  # too far away
    assert Hollows(hollow(wall=True)).in_view(EYE, 0.0, 10.0, 30.0) is None
    assert Hollows(hollow(holds=LIQUID)).in_view(EYE, 0.0, 10.0, 30.0) is None  # a pond
    assert Hollows(land()).in_view(EYE, 0.0, 10.0, 30.0) is None  # level ground
    hollows.look_into((61.0, 15.0, 84.0), within=14.0)
    assert hollows.in_view(EYE, 0.0, 10.0, 30.0) is None


def test_it_walks_straight_where_the_land_allows():
    """Across open land to a place that is on no straight row of nodes: it turns once, and never back."""
    ground = land()
    wilds, player = Wilds(ground), Player(ground)
    strider = Strider(wilds)
    strider.see(player.state())
    strider.take(wilds.way(START, (75, 15, 83)))
    turns = []
    while strider.is_under_way():
        action = strider.stride()
        turns.append(float(action["camera"][1]))
        strider.see(player.do(action))
    assert math.dist(player.at[[0, 2]], (75, 83)) < 1
    assert min(turns) >= 0 and turns.count(0.0) > 0.75 * len(turns)


def test_a_straight_line_keeps_off_what_cannot_be_walked():
    kinds = np.zeros((140, 34, 140), np.uint8)
    kinds[:, :15] = GROUND
    kinds[70:72, 15:18, 50:70] = GROUND  # a wall
    kinds[100:, :15] = FREE  # the edge of a cliff
    wilds = Wilds(Land((0, 0, 0), kinds, np.full(kinds.shape, 15, np.uint8)))
    line = wilds.straight((60, 15, 40), (80, 15, 45))
    assert line is not None and line[-1] == (80.0, 15.0, 45.0)
    assert wilds.straight((60, 15, 60), (80, 15, 60)) is None
    assert wilds.straight((95, 15, 60), (110, 1, 60)) is None
    assert wilds.straight((95, 15, 30), (98, 15, 90)) is not None
    assert wilds.straight((99, 15, 30), (99, 15, 90)) is None  # along the edge


@pytest.mark.parametrize("with_hollow", [True, False])
def test_it_turns_aside_to_a_hollow_and_then_resumes_its_round(with_hollow):
    ground = hollow() if with_hollow else land()
    player = Player(ground, yaw=-130.0)
    script = FindCave(SITE | {"spawn_yaw": -130.0}, ground)
    nearest, state = math.inf, player.state()
    for _ in range(500):
        state = player.do(script.label(state).expert)
        x, z = player.at[[0, 2]]
        nearest = min(nearest, math.hypot(max(56 - x, 0, x - 65), max(80 - z, 0, z - 89)))
    assert nearest < 4 if with_hollow else nearest > 7
    assert math.dist(player.at[[0, 2]], (60, 60)) > 30


def test_it_labels_a_state_that_somebody_else_reached():
    """After a kick aside the first labels turn back."""
    ground = land((95, 60))
    script, player = FindCave(SITE, ground), Player(ground)
    state = player.state()
    while not (label := script.label(state)).cue_visible:
        state = player.do(label.expert)
    for _ in range(20):
        state = player.do(script.label(state).expert)
    player.yaw += 90
    script.label(player.state())
    turns = [float(script.label(player.do(null_action())).expert["camera"][1]) for _ in range(4)]
    assert all(turn < -1 for turn in turns)


def test_a_walker_goes_around_a_wall_and_down_no_cliff():
    kinds = np.zeros((60, 30, 60), np.uint8)
    kinds[:, :10] = GROUND
    kinds[30, 10:13, 10:50] = GROUND  # a wall
    kinds[:, 4:10, 52:] = FREE  # low ground beyond an edge of six nodes
    wilds = Wilds(Land((0, 0, 0), kinds, np.full(kinds.shape, 15, np.uint8)))
    way = wilds.way((20, 10, 30), (40, 10, 30))
    assert way[0] == (20, 10, 30) and way[-1] == (40, 10, 30)
    assert {z for x, _, z in way if x == 30} <= {8, 9, 50, 51}
    assert all(
        max(abs(a - b) for a, b in zip(p, q, strict=True)) == 1 for p, q in itertools.pairwise(way)
    )
    assert wilds.way((20, 10, 30), (20, 4, 53)) == []


def cliff():
    """High ground to x = 40, and ground 12 nodes lower beyond, with a slope that leads down beside it."""
    kinds = np.zeros((110, 60, 110), np.uint8)
    kinds[:, :20] = GROUND
    kinds[:41, :32] = GROUND
    for k in range(12):
        kinds[41 + k, : 31 - k, :30] = GROUND
    return Land((0, 0, 0), kinds, np.full(kinds.shape, 15, np.uint8))


def test_edges_of_cliffs_are_found_with_their_height():
    ground = cliff()
    lips = find_lips(ground, Wilds(ground).stand, 7, 30)
    assert lips and {lip.height for lip in lips if lip.place[2] > 40} == {12}
    assert {(lip.place[0], lip.place[1], lip.side) for lip in lips if lip.place[2] > 40} == {
        (40, 32, (1, 0, 0))
    }


def test_it_turns_until_an_edge_is_in_view_and_pours_there():
    ground = cliff()
    site = {"spawn": (20, 32, 60), "spawn_yaw": -90.0}
    script, player = MakeWaterfall(site, ground), Player(ground, (20, 32, 60), yaw=-90.0)
    state, labels = player.state(), []
    for _ in range(400):
        labels.append(script.label(state))
        if labels[-1].expert["use"]:
            break
        state = player.do(labels[-1].expert)
    assert labels[-1].expert["use"] and 37 <= state.xpos <= 40
    assert abs(state.yaw - 90) < 10 and state.pitch > 20
    cue = [label.cue_visible for label in labels].index(True)
    assert 4 < cue < 80 and not any(label.expert["forward"] for label in labels[:cue])


def test_who_does_not_turn_as_it_says_is_still_to_turn():
    """Not the labels are counted but the turns, so that a learner that stands still is not sent uphill."""
    site = {"spawn": START, "spawn_yaw": 0.0}
    script, player = MakeWaterfall(site, land()), Player(land())
    labels = [script.label(player.do(null_action())).expert for _ in range(200)]
    assert all(label["camera"][1] > 0 and not label["forward"] for label in labels)
    own = part(MakeWaterfall(site, land()), Player(land()), 120)
    assert any(label.expert["forward"] for label in own)


def test_it_has_no_answer_where_somebody_else_poured():
    def poured(player):
        state = player.do(null_action())
        return state.model_copy(update={"facts": state.facts | {"water_poured": 1}})

    before = MakeWaterfall({"spawn": START, "spawn_yaw": 0.0}, land())
    assert before.label(poured(Player(land()))).expert is None
    ground, start = cliff(), (20, 32, 60)
    script, player = (
        MakeWaterfall({"spawn": start, "spawn_yaw": 90.0}, ground),
        Player(ground, start, yaw=90.0),
    )
    labels = part(script, player, 20)
    assert (
        labels[-1].cue_visible and math.dist(player.at, (40, 32, 60)) > 10
    )  # on its way to the edge
    assert script.label(poured(player)).expert is None


def test_noise_comes_in_stretches_and_never_ends_an_episode():
    noise, calm = Noise(np.random.default_rng(0)), null_action() | {"sneak": 1}
    noisy = [noise.on(calm)["sneak"] == 0 for _ in range(20_000)]
    lengths = np.diff(np.flatnonzero(np.diff([0, *noisy, 0])))[::2]
    # A stretch may begin where another ended.
    assert lengths.min() == NOISE_STEPS[0] and np.mean(lengths < NOISE_STEPS[1]) > 0.9
    assert 0.09 < np.mean(noisy) < 0.18
    ends = null_action() | {"ESC": 1}
    assert all(noise.on(ends)["ESC"] for _ in range(200))
    assert not any(noise.on(calm)["ESC"] for _ in range(2_000))


def test_noise_needs_a_script_that_labels_states():
    with pytest.raises(ConfigError, match=r"agent\.noise"):
        Demonstrator(knowing=True, noise=True)


def test_noise_is_refused_where_the_script_takes_its_actions_as_done():
    info = {"site": {"task": "build_village_house", "spawn": (0, 0, 0)}, "telemetry": telemetry(0)}
    with pytest.raises(ConfigError, match=r"agent\.noise: expected false at build_village_house"):
        Demonstrator(noise=True).observe([info])


def test_only_scripts_of_telemetry_label_any_play():
    recipes = {"create_village_animal_pen", "build_village_house"}
    assert set(LABEL_ANY_PLAY) == IMITABLE_TASKS.keys() - recipes


def test_the_scripts_are_frozen():
    """Figures and demonstrations were made with these; a change needs new ones, and is said in the changelog."""
    found = {
        str(path.relative_to(IMITABLE)): hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in sorted(IMITABLE.glob("*.py"))
    }
    assert found == FROZEN
