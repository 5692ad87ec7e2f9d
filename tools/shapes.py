"""Creatures made of boxes on bones, their textures, and their meshes as Blitz3D files."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Size = tuple[float, float, float]
Image = NDArray[np.uint8]

PIXEL = 10 / 16
"""Length of a pixel of the shapes in the units of the game's meshes: 16 pixels are a node."""

SHEET = 64
"""Width and height of a texture, in pixels."""

STAND, WALK, GRAZE = (1, 1), (10, 30), (40, 80)
"""Frames of the animations; `mod/village/creatures.lua` plays 20 to 30 of them per second."""

_LAST_FRAME = 80


@dataclass(frozen=True)
class Box:
    """A box of a creature, and the place of its six faces on the texture (laid out as a cross).

    Attributes:
        low: Its smallest corner in pixels: x to the right of the creature, y up, z forward.
        size: Width, height and depth in pixels.
        at: Top left corner of its cross on the texture.
        skin: Its colour.
        grain: Amount by which the colour varies.
        paint: Function that draws on its front face, uint8 [height, width, 3].
        patches: Colour of spots; None for no spots.
    """

    low: Size
    size: Size
    at: tuple[int, int]
    skin: Colour
    grain: int = 7
    paint: Callable[[Image], None] | None = None
    patches: Colour | None = None


@dataclass(frozen=True)
class Part:
    """Boxes that move together.

    Attributes:
        pivot: Point about which they turn, in pixels.
        boxes: The boxes.
        swing: Angle by which it swings while walking, in degrees; the sign is the direction of the first swing.
        bow: Angle by which it bows while grazing, in degrees.
    """

    pivot: Size
    boxes: Sequence[Box]
    swing: float = 0.0
    bow: float = 0.0


@dataclass(frozen=True)
class Creature:
    """A creature made of parts.

    Attributes:
        mesh: Name of the file of its mesh.
        skin: Name of the file of its texture.
        parts: The parts.
        seed: Random seed of the texture's grain.
    """

    mesh: str
    skin: str
    parts: Sequence[Part]
    seed: int


# ---- textures ----


def texture(creature: Creature) -> Image:
    """Return a creature's texture: uint8 [64, 64, 3], RGB."""
    rng = np.random.default_rng(creature.seed)
    sheet = np.zeros((SHEET, SHEET, 3), np.uint8)
    for part in creature.parts:
        for box in part.boxes:
            for name, (u, v, w, h) in faces(box).items():
                colour = np.empty((h, w, 3), np.float64)
                colour[:] = box.skin
                if box.patches is not None:
                    colour[_spots(rng, h, w)] = box.patches
                shade = rng.integers(-box.grain, box.grain + 1, (h, w, 1))
                face = np.clip(colour + shade, 0, 255).astype(np.uint8)
                if name == "front" and box.paint is not None:
                    box.paint(face)
                sheet[v : v + h, u : u + w] = face
    return sheet


def _spots(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """Return large, soft-edged spots that cover a third of a face."""
    noise = rng.random((height // 3 + 2, width // 3 + 2))
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) > 0.62


def faces(box: Box) -> dict[str, tuple[int, int, int, int]]:
    """Return the place of each face on the texture: left, top, width, height in pixels."""
    (u, v), (w, h, d) = box.at, (max(1, int(np.ceil(part))) for part in box.size)
    return {
        "top": (u + d, v, w, d),
        "bottom": (u + d + w, v, w, d),
        "right": (u, v + d, d, h),
        "front": (u + d, v + d, w, h),
        "left": (u + d + w, v + d, d, h),
        "back": (u + d + w + d, v + d, w, h),
    }


# ---- meshes ----

# Corners of each face as seen from outside: left top, right top, right bottom, left bottom; each is
# (x, y, z) of 0 or 1. Seen from the front, the creature's right side is on the left.
_CORNERS = {
    "front": ((1, 1, 1), (0, 1, 1), (0, 0, 1), (1, 0, 1)),
    "back": ((0, 1, 0), (1, 1, 0), (1, 0, 0), (0, 0, 0)),
    "right": ((1, 1, 0), (1, 1, 1), (1, 0, 1), (1, 0, 0)),
    "left": ((0, 1, 1), (0, 1, 0), (0, 0, 0), (0, 0, 1)),
    "top": ((1, 1, 0), (0, 1, 0), (0, 1, 1), (1, 1, 1)),
    "bottom": ((1, 0, 1), (0, 0, 1), (0, 0, 0), (1, 0, 0)),
}
_NORMALS = {
    "front": (0, 0, 1), "back": (0, 0, -1), "right": (1, 0, 0), "left": (-1, 0, 0),
    "top": (0, 1, 0), "bottom": (0, -1, 0),
}  # fmt: skip


def _chunk(tag: bytes, body: bytes) -> bytes:
    return tag + struct.pack("<i", len(body)) + body


def _turned(degrees: float) -> tuple[float, float, float, float]:
    """Return the quaternion w, x, y, z of a rotation about the x axis."""
    half = np.radians(degrees) / 2
    return float(np.cos(half)), float(np.sin(half)), 0.0, 0.0


def _keys(part: Part) -> bytes:
    """Return the rotation keys of a bone for all animations."""
    angles = {1: 0.0, 9: 0.0, 31: 0.0, 39: 0.0, _LAST_FRAME: part.bow}
    first, last = WALK
    for k in range(9):
        frame = first + round(k * (last - first) / 8)
        angles[frame] = part.swing * float(np.sin(2 * np.pi * k / 8))
    for k, share in enumerate((0.6, 1.0, 0.9, 1.0, 0.9, 1.0, 0.9, 1.0)):
        angles[GRAZE[0] + 5 * k] = part.bow * share
    body = struct.pack("<i", 4)
    for frame, angle in sorted(angles.items()):
        body += struct.pack("<i4f", frame, *_turned(angle))
    return _chunk(b"KEYS", body)


def mesh(creature: Creature) -> bytes:
    """Return a creature's mesh with its bones, as a Blitz3D file."""
    vertices, triangles, bones = b"", b"", b""
    count = 0
    for k, part in enumerate(creature.parts):
        weights = b""
        for box in part.boxes:
            for name, (u, v, w, h) in faces(box).items():
                places = ((u, v), (u + w, v), (u + w, v + h), (u, v + h))
                for corner, place in zip(_CORNERS[name], places, strict=True):
                    point = [
                        (low + size * c) * PIXEL
                        for low, size, c in zip(box.low, box.size, corner, strict=True)
                    ]
                    vertices += struct.pack(
                        "<8f", *point, *_NORMALS[name], place[0] / SHEET, place[1] / SHEET
                    )
                triangles += struct.pack("<6i", *(count + n for n in (0, 1, 2, 0, 2, 3)))
                weights += b"".join(struct.pack("<if", count + n, 1.0) for n in range(4))
                count += 4
        pivot = [p * PIXEL for p in part.pivot]
        bones += _node(f"part{k}", pivot, _chunk(b"BONE", weights) + _keys(part))
    geometry = _chunk(b"VRTS", struct.pack("<3i", 1, 1, 2) + vertices)
    geometry += _chunk(b"TRIS", struct.pack("<i", 0) + triangles)
    root = _chunk(b"MESH", struct.pack("<i", -1) + geometry)
    root += _chunk(b"ANIM", struct.pack("<iif", 0, _LAST_FRAME, 30.0))
    texs = _chunk(b"TEXS", b"skin\0" + struct.pack("<2i5f", 1, 2, 0, 0, 1, 1, 0))
    brus = struct.pack("<i", 1) + b"skin\0" + struct.pack("<5f3i", 1, 1, 1, 1, 0, 1, 0, 0)
    body = struct.pack("<i", 1) + texs + _chunk(b"BRUS", brus)
    return _chunk(b"BB3D", body + _node("root", [0.0, 0.0, 0.0], root + bones))


def _node(name: str, position: Sequence[float], inside: bytes) -> bytes:
    head = name.encode() + b"\0" + struct.pack("<10f", *position, 1, 1, 1, 1, 0, 0, 0)
    return _chunk(b"NODE", head + inside)
