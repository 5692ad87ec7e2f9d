"""The scripts' map of a village: paths over it, and obstacles between the player and a click."""

from agents.demonstrator.blocks import Block, Hit, eye_at
from agents.demonstrator.village import Ground
from agents.demonstrator.yards import cells, find_yards

UP = (0, 1, 0)


def ground(width=9, depth=9, height=5, plants=None, heights=None, style=None):
    site = {
        "style": style,
        "ground": {
            "min": [0, 0],
            "width": width,
            "heights": heights or [height] * (width * depth),
            "plants": plants,
        },
    }
    return Ground(site)


def test_a_click_is_clear_until_something_was_put_between():
    place = ground().level_place((0, 0), (8, 8))
    eye = eye_at((4, 5, 4))
    cell, beside, slantwise = (2, 4, 4), (2, 4, 5), (1, 4, 3)
    assert place.aim_at(eye, Hit(cell, UP)), "the ground of a cell"
    place.blocks[3, 5, 4] = Block("fence")
    assert place.aim_at(eye, Hit(cell, UP)) is None
    assert place.aim_at((4.0, eye[1], 5.0), Hit(beside, UP)), "past it"
    assert place.aim_at((4.0, eye[1], 4.4), Hit(slantwise, UP)) is None, "through its edge"
    assert not place.can_stand((3, 5, 4))
    del place.blocks[3, 5, 4]
    assert place.aim_at(eye, Hit(cell, UP))


def test_a_plant_is_in_the_way_of_clicks_and_not_of_feet():
    place = ground(plants=[2, 4]).level_place((0, 0), (8, 8))
    assert place.blocks == {(2, 5, 4): Block("plant")} and place.can_stand((2, 5, 4))
    point, way = next(place.digging_places((2, 5, 4), (4, 5, 4)))
    assert way == [], "it can be dug from where the player stands"
    assert place.look(eye_at((4, 5, 4)), point).node == (2, 5, 4)


def test_clicks_at_snowy_ground_are_aimed_at_the_snow():
    bare, snowy = (
        ground(style=style)
        .level_place((0, 0), (8, 8))
        .aim_at(eye_at((4, 5, 4)), Hit((2, 4, 4), UP))
        for style in ("plains", "snowy")
    )
    assert bare == (2.0, 4.5, 4.0) and snowy == (2.0, 4.625, 4.0)


def test_a_yard_is_level_and_beside_a_house():
    house = {"min": [4, 5, 4], "max": [6, 5, 6]}
    site = {"blocks": [[x, 5, z] for x in (4, 5, 6) for z in (4, 5, 6)], "houses": [house]}
    yards = find_yards(site, ground(width=16, depth=16))
    assert yards
    for yard in yards:
        assert {*yard.fence(), yard.gate}.isdisjoint((x, z) for x, _, z in site["blocks"])
        assert {*yard.inside()} >= {yard.from_gate(-1), yard.far_end()}
        assert len(yard.fence()) + 1 + len(yard.inside()) == len(cells(yard.low, yard.high))
        assert not {*yard.fence(), *yard.inside()} & {yard.from_gate(1), yard.gate}
    slope = ground(width=16, depth=16, heights=[5 + z // 2 for z in range(16) for _ in range(16)])
    assert find_yards(site, slope) == []


def test_a_way_goes_round_what_was_put_there():
    place = ground(width=5, depth=5)
    for z in range(4):
        place.bar((2, z))
    assert (2, 5, 4) in place.way((0, 0), (4, 0))
    place.bar((2, 4))
    assert place.way((0, 0), (4, 0)) == []
