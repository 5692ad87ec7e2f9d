"""What the script that builds knows of its place: aiming, standing, walking, and the plans of its houses."""

import math

import pytest

from agents.demonstrator.blocks import Block, Hit, Node, Place, Want, add
from agents.demonstrator.huts import DEPTH, STYLES, WIDTH, Frame, Hut
from agents.demonstrator.motion import EYE_HEIGHT

UP: Node = (0, 1, 0)


def flat(blocks=None, shut=frozenset()):
    """Level ground at height 0: feet are in nodes at height 1."""
    return Place(lambda x, z: 0 if abs(x) < 20 and abs(z) < 20 else None, blocks or {}, shut)


def eye_at(x, z, up=1):
    return x, up - 0.5 + EYE_HEIGHT, z


def test_a_click_meets_the_nearest_block_and_its_side():
    place = flat({(3, 1, 0): Block()})
    assert place.look(eye_at(0, 0), (3, 1, 0)) == Hit((3, 1, 0), (-1, 0, 0))
    assert place.look(eye_at(0, 0), (2, 0.5, 0)) == Hit((2, 0, 0), UP)
    assert place.look(eye_at(0, 0), (3, 1, 0), reach=2.0) is None
    assert place.look(eye_at(0, 0), (3, 5, 0)) is None


def test_the_low_half_of_a_stair_lets_the_look_pass_above_it():
    stair = Block("stair", (1, 0, 0))
    place = flat({(2, 1, 0): stair, (3, 1, 0): Block()})
    assert place.look(eye_at(0, 0), (2.3, 1.3, 0)) == Hit((2, 1, 0), (-1, 0, 0))
    assert place.look(eye_at(0, 0), (1.9, 1.0, 0)) == Hit((2, 1, 0), UP)
    turned = flat({(2, 1, 0): Block("stair", (-1, 0, 0))})
    assert turned.look(eye_at(0, 0), (1.9, 1.3, 0)) == Hit((2, 1, 0), (-1, 0, 0))


def test_one_aims_at_what_can_be_seen():
    place = flat({(2, 1, 0): Block(), (2, 2, 0): Block()})
    seen = Hit((2, 1, 0), (-1, 0, 0))
    point = place.aim_at(eye_at(0, 0), seen)
    assert point is not None and place.look(eye_at(0, 0), point) == seen
    assert place.aim_at(eye_at(0, 0), Hit((2, 1, 0), (1, 0, 0))) is None, "the far side"
    low = place.aim_at(eye_at(0, 0), Hit((2, 2, 0), (-1, 0, 0)), low=True)
    assert low is not None and low[1] < 2, "stairs are put against the lower half"


def test_one_climbs_one_node_and_not_two():
    place = flat({(1, 1, 0): Block(), (0, 1, 1): Block(), (0, 2, 1): Block()})
    steps = dict(place.steps((0, 1, 0)))
    assert (1, 2, 0) in steps and (-1, 1, 0) in steps
    assert not any(node[2] == 1 for node in steps)
    assert (1, 2, 0) not in dict(
        flat({(1, 1, 0): Block()}, frozenset({(1, 2, 0)})).steps((0, 1, 0))
    )
    low_ceiling = flat({(1, 1, 0): Block(), (0, 3, 0): Block()})
    assert (1, 2, 0) not in dict(low_ceiling.steps((0, 1, 0))), "no room to jump"


def test_ways_are_shortest_and_lead_there():
    wall = {(2, up, z): Block() for up in (1, 2) for z in range(-3, 4)}
    place = flat(wall)
    ways = {stand: way for stand, _, way in place.ways((0, 1, 0))}
    way = ways[(4, 1, 0)]
    assert way[-1] == (4, 1, 0) and len(way) == 12
    assert all(math.dist(a, b) == 1 for a, b in zip([(0, 1, 0), *way], way, strict=False))


def test_walking_straight_needs_room_for_the_shoulders():
    place = flat({(2, 1, 1): Block()})
    assert place.is_clear(0, 0, (4, 1, 0))
    assert not place.is_clear(0, 0.3, (4, 1, 0))


def test_a_block_needs_something_to_be_put_against():
    place = flat()
    assert list(place.spots([Want((0, 3, 0), Block(), "dirt")], (3, 1, 0))) == []
    _, spot, way = next(place.spots([Want((0, 1, 0), Block(), "dirt")], (0, 1, 0)))
    assert spot.stand != (0, 1, 0) and way, "not into one's own feet"
    assert spot.hit.target == (0, 1, 0)


@pytest.mark.parametrize("into", [(1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1)])
@pytest.mark.parametrize("style", STYLES)
def test_a_hut_is_whole_and_closed(style, into):
    """Every block once, each has something to be put against, and no air gets in but by the door."""
    hut = Hut(Frame((0, 0, 0), into), STYLES[style])
    parts = [hut.row(1), hut.row(2), hut.row(3), hut.windows(), hut.slopes(-1)]
    parts += [hut.slopes(0) + hut.gables(), hut.slopes(1), hut.ridge(), hut.cap(), [hut.door()]]
    blocks: dict[Node, Block] = {}
    for part in parts:
        left = list(part)
        while left:
            place = Place(lambda x, z: 0, dict(blocks))
            ready = [want for want in left if place.sides_for(want.target)]
            assert ready, "hangs in the air"
            for want in ready:
                assert want.target not in blocks
                blocks[want.target] = want.block
                left.remove(want)
    frame = Frame((0, 0, 0), into)
    door = frame.at(2, 1, 0)
    blocks[add(door, UP)] = Block("door")
    inside, queue = set(), [frame.at(WIDTH // 2, 1, DEPTH // 2)]
    while queue:
        node = queue.pop()
        if node in inside or node in blocks or node[1] < 1:
            continue
        inside.add(node)
        assert len(inside) < 100, "the hut is not closed"
        queue += [
            add(node, side)
            for side in ((1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1), UP, (0, -1, 0))
        ]
    assert sum(node[1] == 1 for node in inside) == 9
