"""The land of a saved world as the map generator left it: for scripted players, and for studies of the sites.

Nodes are whole numbers (x, y, z), y up. The format is the engine's own (map.sqlite, blocks of version 29, written by
Luanti and Minetest from 5.5 on).
"""

import math
import sqlite3
import struct
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from basalt.io.errors import WorldError

FREE, GROUND, PLANT, LIQUID = 0, 1, 2, 3
"""What a node is for a walker: nothing in the way, natural ground, a solid plant, or to be avoided."""

OUTSIDE = 255
"""What a node is that was not saved."""

REACH, LOWEST = 112, -64
"""Distance from the column to which land is read, and the height down to which it is, in nodes."""

CAVE_LIGHT = 9
"""Most natural light at noon in a cave."""

_LENGTHS = np.arange(0.6, 56.0, 0.7)
_ACROSS, _DOWN = (
    part.ravel()
    for part in np.meshgrid(
        np.radians(np.linspace(-48, 48, 28)), np.radians(np.linspace(-30, 30, 14))
    )
)
"""Lengths in nodes at which a ray is looked at, and the directions of rays relative to the view."""

_BLOCK = 16
_VERSION = 29
_HEADER = struct.Struct(">BHIBH")
"""Flags, light, time, version of the names, number of names."""

_FREE_NAMES = (
    "grass", "dry_grass", "fern", "marram_grass", "junglegrass", "dry_shrub", "torch", "papyrus", "snow",
)  # fmt: skip
_FREE_PARTS = ("sapling", "seedling", "butterfl", "firefl")
_PLANT_NAMES = ("leaves", "needles", "tree", "trunk", "bush", "cactus", "wood", "apple", "log")


class Land:
    """The saved nodes in a box.

    Args:
        low: Node at the low corner of the box.
        kinds: What each node is for a walker, uint8 [X, Y, Z].
        daylight: Natural light of each node at noon, 0 to 15, uint8 [X, Y, Z].

    Attributes:
        ground: Height of the highest natural ground of each column, float64 [X, Z]; minus infinity without any.
    """

    def __init__(
        self, low: tuple[int, int, int], kinds: NDArray[np.uint8], daylight: NDArray[np.uint8]
    ) -> None:
        self.low = low
        self.kinds = kinds
        self.daylight = daylight
        ground = kinds == GROUND
        highest = kinds.shape[1] - 1 - ground[:, ::-1].argmax(axis=1)
        self.ground = np.where(ground.any(axis=1), highest + low[1], -math.inf)

    def kind(self, x: int, y: int, z: int) -> int:
        """Return what a node is for a walker."""
        i, j, k = x - self.low[0], y - self.low[1], z - self.low[2]
        a, b, c = self.kinds.shape
        if not (0 <= i < a and 0 <= j < b and 0 <= k < c):
            return OUTSIDE
        return int(self.kinds[i, j, k])

    def light(self, x: int, y: int, z: int) -> int:
        """Return the natural light at noon at the head of feet at a node of the box."""
        return int(self.daylight[x - self.low[0], y + 1 - self.low[1], z - self.low[2]])

    def is_cave(self, x: int, y: int, z: int) -> bool:
        """Return whether feet at a node would be in a cave, as FindCave's `in_cave` has it."""
        if self.kind(x, y, z) != FREE or self.kind(x, y + 1, z) != FREE:
            return False
        i, j, k = x - self.low[0], y - self.low[1], z - self.low[2]
        return bool(self.daylight[i, j + 1, k] <= CAVE_LIGHT and self.ground[i, k] > y + 1)

    def sees(self, eye: ArrayLike, point: ArrayLike) -> bool:
        """Return whether the line between two points is free, in steps of 0.2 nodes; leaves block it."""
        start, end = np.asarray(eye, np.float64), np.asarray(point, np.float64)
        count = int(np.linalg.norm(end - start) / 0.2)
        if count < 2:
            return True
        line = start + (end - start) * np.arange(1, count)[:, None] / count
        nodes = np.floor(line + 0.5).astype(int) - self.low
        if (nodes < 0).any() or (nodes >= self.kinds.shape).any():
            return False
        kinds = self.kinds[nodes[:, 0], nodes[:, 1], nodes[:, 2]]
        return not ((kinds == GROUND) | (kinds == PLANT) | (kinds == OUTSIDE)).any()

    def dark_in_view(self, eye: ArrayLike, yaw: float, pitch: float) -> NDArray[np.int64]:
        """Return the dim places under natural ground that are in view, int64 [n, 3], one for each ray that ends there.

        Args:
            eye: Position of the eyes, [x, y, z].
            yaw: Yaw of the view, in degrees.
            pitch: Pitch of the view, in degrees.
        """
        across, down = np.radians(yaw) + _ACROSS, np.radians(pitch) + _DOWN
        rays = np.stack(
            [np.sin(across) * np.cos(down), -np.sin(down), np.cos(across) * np.cos(down)], 1
        )
        nodes = np.floor(np.asarray(eye) + rays[:, None] * _LENGTHS[:, None] + 0.5).astype(np.int32)
        nodes -= np.array(self.low, np.int32)
        inside = ((nodes >= 0) & (nodes < self.kinds.shape)).all(axis=2)
        x, y, z = np.moveaxis(np.where(inside[..., None], nodes, 0), 2, 0)
        kinds = np.where(inside, self.kinds[x, y, z], OUTSIDE)
        blocked = (kinds == GROUND) | (kinds == PLANT) | (kinds == OUTSIDE)
        last = np.maximum(blocked.argmax(axis=1), 1)
        ray = np.arange(len(rays))
        x, y, z = (part[ray, last - 1] for part in (x, y, z))
        ends = (
            blocked.any(axis=1)
            & (kinds[ray, last] == GROUND)
            & (self.daylight[x, y, z] <= CAVE_LIGHT)
            & (self.ground[x, z] > y + self.low[1])
        )
        found: NDArray[np.int64] = np.stack([x, y, z], 1)[ends] + self.low
        return found


@lru_cache(maxsize=2)
def read_land(folder: Path, x: int, z: int, reach: int = REACH) -> Land:
    """Return the land of a saved world around a column.

    Args:
        folder: Folder of the saved world.
        x: The column.
        z: The column.
        reach: Least distance from the column to the sides, in nodes.

    Raises:
        WorldError: The map is missing or has another format.
    """
    file = folder / "map.sqlite"
    try:
        with closing(sqlite3.connect(f"file:{file}?immutable=1", uri=True)) as store:
            numbers = [number for (number,) in store.execute("SELECT pos FROM blocks")]
            near = [
                number
                for number, place in zip(numbers, map(_place, numbers), strict=True)
                if max(abs(place[[0, 2]] * _BLOCK + _BLOCK / 2 - (x, z))) < reach + _BLOCK / 2
                and place[1] * _BLOCK >= LOWEST
            ]
            rows = (
                store.execute("SELECT pos, data FROM blocks WHERE pos = ?", (number,)).fetchone()
                for number in near
            )
            blocks = [(_place(number), *_block(data)) for number, data in rows]
    except (sqlite3.Error, OSError, ValueError, struct.error, IndexError) as err:
        raise WorldError(
            f"{file}: expected a map with blocks of version {_VERSION} ({err}); remove {folder}"
        ) from err
    if not blocks:
        raise WorldError(f"{file}: expected a map, got no blocks; remove {folder}")
    places = np.array([place for place, _, _ in blocks])
    low, high = places.min(axis=0), places.max(axis=0) + 1
    shape = tuple((high - low) * _BLOCK)
    kinds, light = np.full(shape, OUTSIDE, np.uint8), np.zeros(shape, np.uint8)
    for place, kind, day in blocks:
        a, b, c = (place - low) * _BLOCK
        part = slice(a, a + _BLOCK), slice(b, b + _BLOCK), slice(c, c + _BLOCK)
        kinds[part], light[part] = kind, day
    west, bottom, south = (int(edge) for edge in low * _BLOCK)
    return Land((west, bottom, south), kinds, light)


def _place(number: int) -> NDArray[np.int64]:
    """Return the x, y and z of a block from its number: 12 bits each, with a sign."""
    parts = []
    for _ in range(3):
        part = (number + 2048) % 4096 - 2048
        parts.append(part)
        number = (number - part) // 4096
    return np.array(parts)


def _block(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return what the nodes of a block are, and their natural light, each uint8 [16, 16, 16], [x, y, z]."""
    if data[0] != _VERSION:
        raise ValueError(f"got version {data[0]}")
    raw = pa.CompressedInputStream(pa.BufferReader(data[1:]), "zstd").read()
    *_, names = _HEADER.unpack_from(raw)
    at = _HEADER.size
    kind_of = np.full(65_536, OUTSIDE, np.uint8)
    for _ in range(names):
        number, length = struct.unpack_from(">HH", raw, at)
        at += 4
        kind_of[number] = _kind(raw[at : at + length].decode())
        at += length
    at += 2  # widths of the contents
    count = _BLOCK**3
    contents = np.frombuffer(raw, ">u2", count, at)
    light = np.frombuffer(raw, np.uint8, count, at + 2 * count) & np.uint8(15)
    shape = (_BLOCK, _BLOCK, _BLOCK)  # z, y, x in the file
    kinds: NDArray[np.uint8] = kind_of[contents.astype(np.int64)].reshape(shape)
    return kinds.transpose(2, 1, 0), light.reshape(shape).transpose(2, 1, 0)


@lru_cache
def _kind(name: str) -> int:
    short = name.partition(":")[2] or name
    if name.startswith("flowers:") or short == "air":
        return FREE
    if "water" in short or "lava" in short:
        return LIQUID
    if short == "ignore":
        return OUTSIDE
    if any(part in short for part in _PLANT_NAMES) and "sapling" not in short:
        return PLANT
    free = short.rstrip("0123456789_") in _FREE_NAMES or any(part in name for part in _FREE_PARTS)
    return FREE if free else GROUND
