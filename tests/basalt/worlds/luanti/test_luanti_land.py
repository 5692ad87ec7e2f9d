"""The saved land, read from a map that the test writes in the engine's format."""

import sqlite3
import struct

import numpy as np
import pyarrow as pa
import pytest

from basalt.io.errors import WorldError
from basalt.worlds.luanti.land import FREE, GROUND, LIQUID, OUTSIDE, PLANT, Land, read_land

NAMES = ["air", "default:stone", "default:leaves", "default:water_source", "default:grass_3"]


def block(nodes, light, version=29):
    """The bytes of a block; nodes and light are [16, 16, 16], x, y, z."""
    raw = struct.pack(">BHIBH", 0, 0xFFFF, 0, 0, len(NAMES))
    for number, name in enumerate(NAMES):
        raw += struct.pack(">HH", number, len(name)) + name.encode()
    raw += bytes([2, 2]) + nodes.transpose(2, 1, 0).astype(">u2").tobytes()
    raw += light.transpose(2, 1, 0).astype(np.uint8).tobytes() + bytes(4096) + b"metadata"
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(raw)
    return bytes([version]) + sink.getvalue().to_pybytes()


def save(folder, blocks):
    with sqlite3.connect(folder / "map.sqlite") as store:
        store.execute("CREATE TABLE blocks (pos INT PRIMARY KEY, data BLOB)")
        for (x, y, z), data in blocks.items():
            store.execute("INSERT INTO blocks VALUES (?, ?)", (z * 2**24 + y * 2**12 + x, data))


def test_nodes_and_light_are_where_the_engine_has_them(tmp_path):
    nodes, light = np.zeros((16, 16, 16), int), np.full((16, 16, 16), 15 + 3 * 16)
    nodes[1, 2, 3], nodes[4, 5, 6], nodes[7, 8, 9], nodes[10, 11, 12] = 1, 2, 3, 4
    light[1, 3, 3] = 7 + 15 * 16  # the high bits are the light of night
    save(tmp_path, {(-1, -2, 1): block(nodes, light), (0, 0, 0): block(0 * nodes + 1, light)})
    land = read_land(tmp_path, 0, 0)
    assert land.low == (-16, -32, 0)
    assert land.kind(-15, -30, 19) == GROUND and land.kind(-12, -27, 22) == PLANT
    assert land.kind(-9, -24, 25) == LIQUID and land.kind(-6, -21, 28) == FREE
    assert land.kind(3, 3, 3) == GROUND
    assert land.kind(-1, 3, 3) == OUTSIDE and land.kind(400, 3, 3) == OUTSIDE
    assert land.light(-15, -30, 19) == 7 and land.light(-14, -30, 19) == 15


def test_only_land_near_the_column_is_read(tmp_path):
    nodes = np.ones((16, 16, 16), int)
    data = block(nodes, nodes)
    save(tmp_path, {(0, 0, 0): data, (3, 0, 0): data, (0, -9, 0): data})
    land = read_land(tmp_path, 8, 8, reach=20)
    assert land.kinds.shape == (16, 16, 16) and land.low == (0, 0, 0)


def test_a_map_of_another_version_is_refused(tmp_path):
    nodes = np.ones((16, 16, 16), int)
    save(tmp_path, {(0, 0, 0): block(nodes, nodes, version=28)})
    with pytest.raises(WorldError, match=r"version 29 \(got version 28\)"):
        read_land(tmp_path, 0, 0)


def test_a_missing_map_is_refused(tmp_path):
    with pytest.raises(WorldError, match=r"map\.sqlite: expected a map"):
        read_land(tmp_path, 0, 0)


def hill():
    """Ground up to y = 0; at z >= 20 a hill up to y = 9, with a dark tunnel into it at x = 10."""
    kinds = np.zeros((40, 20, 40), np.uint8)
    kinds[:, :5] = GROUND
    kinds[:, 5:14, 20:] = GROUND
    kinds[9:12, 5:8, 20:35] = FREE
    light = np.full(kinds.shape, 15, np.uint8)
    light[9:12, 5:8, 22:35] = 4
    return Land((0, 0, 0), kinds, light)


def test_a_line_of_sight_ends_at_ground():
    land = hill()
    assert land.sees((10, 6, 5), (10, 6, 30))
    assert not land.sees((25, 6, 5), (25, 6, 30))


def test_a_cave_is_dim_and_under_natural_ground():
    land = hill()
    assert land.is_cave(10, 5, 25)
    assert not land.is_cave(10, 5, 20)  # bright
    assert not land.is_cave(10, 5, 10) and not land.is_cave(25, 6, 25)


@pytest.mark.parametrize(("x", "yaw", "sees"), [(10, 0, True), (10, 180, False), (35, 0, False)])
def test_the_dark_is_in_view_in_front_of_the_tunnel_only(x, yaw, sees):
    dark = hill().dark_in_view((x, 6.6, 8), yaw, 0)
    assert (len(dark) >= 3) == sees
    assert all(9 <= place[0] <= 11 and place[2] >= 22 for place in dark)
