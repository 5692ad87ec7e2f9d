"""The scripts' map of a village: paths over it, and obstacles between the player and a click."""

from agents.demonstrator.village import Ground


def ground(width=9, depth=9, height=5, plants=None):
    site = {
        "ground": {
            "min": [0, 0],
            "width": width,
            "heights": [height] * (width * depth),
            "plants": plants,
        },
        "blocks": [],
    }
    return Ground(site)


def test_a_click_is_clear_until_something_was_put_between():
    place = ground()
    assert place.is_clear(4.0, 4.0, (0, 4))
    place.bar((2, 4))
    assert not place.is_clear(4.0, 4.0, (0, 4))
    assert place.is_clear(4.0, 4.0, (2, 4)), "the cell itself is what one clicks at"
    assert place.is_clear(4.0, 5.0, (0, 5)), "past it"
    assert not place.is_clear(3.0, 4.4, (1, 3)), "slantwise through its edge"
    place.free((2, 4))
    assert place.is_clear(4.0, 4.0, (0, 4))


def test_a_way_goes_round_what_was_put_there():
    place = ground(width=5, depth=5)
    for z in range(4):
        place.bar((2, z))
    way = place.way((0, 0), (4, 0))
    assert way is not None and [2.0, 5.0, 4.0] in way
    place.bar((2, 4))
    assert place.way((0, 0), (4, 0)) is None
