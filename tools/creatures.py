"""Make the models and textures of animals and villagers: `python -m tools.creatures`.

It writes `mod/models/*.b3d` (Blitz3D meshes with bones, which the game animates) and `mod/textures/*.png`. Both are
committed; a test compares them with the output of this module.
"""

from collections.abc import Callable
from pathlib import Path

import cv2

from tools.shapes import (
    Box,
    Colour,
    Creature,
    Image,
    Part,
    Size,
    mesh,
    texture,
)

MOD = Path(__file__).parents[1] / "basalt" / "worlds" / "luanti" / "mod"


def _eyes(left: int, top: int, gap: int, pupil: Colour = (20, 18, 18)) -> Callable[[Image], None]:
    """Return a function that draws two eyes on a face, each a white and a dark pixel."""

    def paint(face: Image) -> None:
        right = left + gap
        face[top, left], face[top, left + 1] = (245, 245, 245), pupil
        face[top, right + 1], face[top, right] = (245, 245, 245), pupil

    return paint


def _legs(x: float, z: float, size: Size, at: tuple[int, int], skin: Colour) -> list[Part]:
    """Return four legs; diagonal ones move together. `x` and `z` are the middle of the first one."""
    w, h, d = size
    legs = []
    for side, end in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        box = Box((side * x - w / 2, 0, end * z - d / 2), size, at, skin)
        legs.append(Part((side * x, h, end * z), [box], swing=32.0 * side * end))
    return legs


def _cow_face(face: Image) -> None:
    face[:, 3:5] = (225, 220, 214)
    _eyes(0, 3, 6)(face)
    face[6:8, 1:7] = (214, 168, 158)
    face[6, 2], face[6, 5] = (96, 62, 58), (96, 62, 58)


def _sheep_face(face: Image) -> None:
    _eyes(0, 2, 4)(face)
    face[4:6, 2:4] = (200, 150, 140)


def _villager_face(face: Image) -> None:
    face[2, 1:7] = (72, 48, 34)
    face[3, 1], face[3, 2] = (245, 245, 245), (48, 108, 52)
    face[3, 6], face[3, 5] = (245, 245, 245), (48, 108, 52)
    face[7, 2:6] = (120, 76, 60)


def _snout(face: Image) -> None:
    face[1, 0], face[1, 3] = (150, 70, 80), (150, 70, 80)


_HIDE, _BROWN = (232, 228, 222), (92, 62, 42)
_PINK, _WOOL, _SKIN = (236, 158, 158), (236, 232, 222), (196, 158, 132)

COW = Creature(
    "basalt_cow",
    "basalt_cow",
    [
        Part(
            (0, 14, 0),
            [
                Box((-6, 12, -9), (12, 10, 17), (0, 0), _BROWN, patches=_HIDE),
                Box((-2, 11, -8), (4, 1, 5), (44, 50), (222, 160, 160)),
            ],
        ),
        Part(
            (0, 20, 8),
            [
                Box((-4, 16, 8), (8, 8, 6), (0, 28), _BROWN, paint=_cow_face),
                Box((-5, 22, 10), (1, 3, 1), (56, 28), (220, 214, 196)),
                Box((4, 22, 10), (1, 3, 1), (56, 28), (220, 214, 196)),
            ],
            bow=38.0,
        ),
        *_legs(4, 6, (4, 12, 4), (30, 28), _BROWN),
    ],
    seed=3,
)

PIG = Creature(
    "basalt_pig",
    "basalt_pig",
    [
        Part((0, 10, 0), [Box((-5, 6, -8), (10, 8, 16), (0, 0), _PINK)]),
        Part(
            (0, 11, 7),
            [
                Box((-4, 8, 7), (8, 8, 8), (0, 26), _PINK, paint=_eyes(0, 3, 6)),
                Box((-2, 9, 15), (4, 3, 1), (34, 26), (226, 132, 138), paint=_snout),
            ],
            bow=26.0,
        ),
        *_legs(3, 5, (4, 6, 4), (0, 44), _PINK),
    ],
    seed=4,
)

SHEEP = Creature(
    "basalt_sheep",
    "basalt_sheep",
    [
        Part((0, 13, 0), [Box((-5, 10, -8), (10, 9, 16), (0, 0), _WOOL, grain=13)]),
        Part(
            (0, 18, 7),
            [
                Box((-3, 15, 8), (6, 6, 6), (0, 28), _SKIN, paint=_sheep_face),
                Box((-3.5, 16.5, 6.5), (7, 6, 6), (26, 28), _WOOL, grain=13),
            ],
            bow=40.0,
        ),
        *(
            Part(
                leg.pivot,
                [
                    *leg.boxes,
                    Box(
                        (leg.boxes[0].low[0] - 0.5, 5, leg.boxes[0].low[2] - 0.5),
                        (5, 6, 5), (18, 44), _WOOL, grain=13,
                    ),
                ],
                swing=leg.swing,
            )
            for leg in _legs(3, 5, (4, 12, 4), (0, 44), _SKIN)
        ),
    ],
    seed=5,
)  # fmt: skip

_FEATHER, _BEAK = (246, 246, 242), (232, 168, 48)

CHICKEN = Creature(
    "basalt_chicken",
    "basalt_chicken",
    [
        Part(
            (0, 8, 0),
            [
                Box((-3, 5, -4), (6, 6, 8), (0, 0), _FEATHER),
                Box((-4, 6, -3), (1, 4, 6), (30, 0), (226, 226, 220)),
                Box((3, 6, -3), (1, 4, 6), (30, 0), (226, 226, 220)),
                Box((-1.5, 9, -6), (3, 3, 2), (46, 0), (232, 232, 226)),
            ],
        ),
        Part(
            (0, 10, 3),
            [
                Box((-2, 9, 2), (4, 6, 3), (0, 16), _FEATHER, paint=_eyes(0, 1, 2)),
                Box((-2, 11, 5), (4, 2, 2), (16, 16), _BEAK),
                Box((-1, 9, 4.6), (2, 2, 1), (30, 16), (198, 44, 40)),
                Box((-0.5, 15, 2), (1, 1, 3), (38, 16), (198, 44, 40)),
            ],
            bow=48.0,
        ),
        *(
            Part(
                (x, 5, 0),
                [
                    Box((x - 0.5, 0, -0.5), (1, 5, 1), (0, 28), _BEAK),
                    Box((x - 1.5, 0, -0.5), (3, 0.5, 3), (8, 28), _BEAK),
                ],
                swing=swing,
            )
            for x, swing in ((-1.5, 40.0), (1.5, -40.0))
        ),
    ],
    seed=6,
)


def _villager(name: str, robe: Colour, belt: Colour, seed: int) -> Creature:
    """Return a person with a long nose, a robe and folded arms."""

    def front(face: Image) -> None:
        face[:, 3:5] = [part * 4 // 5 for part in robe]
        face[-3:-1, :] = belt

    skin = (208, 160, 128)
    return Creature(
        "basalt_villager",
        f"basalt_villager_{name}",
        [
            Part(
                (0, 12, 0),
                [
                    Box((-4, 11, -3), (8, 13, 6), (0, 0), robe, paint=front),
                    Box((-4.5, 4, -3.5), (9, 8, 7), (30, 0), robe),
                ],
            ),
            Part(
                (0, 24, 0),
                [
                    Box((-4, 24, -4), (8, 10, 8), (0, 20), skin, paint=_villager_face),
                    Box((-1, 24, 4), (2, 4, 2), (34, 20), (188, 138, 108)),
                ],
                bow=16.0,
            ),
            Part(
                (0, 21, 1),
                [
                    Box((-6.5, 16, 0), (2.5, 7, 4), (0, 40), robe),
                    Box((4, 16, 0), (2.5, 7, 4), (0, 40), robe),
                    Box((-4, 16, 3), (8, 3.5, 3), (14, 40), skin),
                ],
            ),
            *(
                Part((x, 8, 0), [Box((x - 1.8, 0, -2), (3.6, 8, 4), (38, 40), (84, 70, 60))], swing=s)
                for x, s in ((-2.0, 26.0), (2.0, -26.0))
            ),
        ],
        seed,
    )  # fmt: skip


CREATURES = (
    COW,
    PIG,
    SHEEP,
    CHICKEN,
    _villager("brown", (122, 84, 58), (74, 48, 32), 7),
    _villager("green", (86, 112, 70), (60, 66, 40), 8),
    _villager("purple", (120, 72, 118), (78, 44, 80), 9),
    _villager("white", (214, 208, 196), (120, 84, 60), 10),
)


def files() -> dict[str, bytes]:
    """Return the content of every file by its path below the mod's folder."""
    made = {}
    for creature in CREATURES:
        picture = cv2.cvtColor(texture(creature), cv2.COLOR_RGB2BGR)
        made[f"textures/{creature.skin}.png"] = cv2.imencode(".png", picture)[1].tobytes()
        made[f"models/{creature.mesh}.b3d"] = mesh(creature)
    return made


def main() -> None:
    """Write the files."""
    for name, content in files().items():
        path = MOD / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
