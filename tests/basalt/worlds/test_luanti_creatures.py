"""Animals and villagers: their shapes, and what they do in the real game."""

import struct

from basalt.worlds.luanti import creatures


def chunks(data, start=0):
    """(tag, begin, end) of the chunks of a Blitz3D file side by side."""
    while start < len(data):
        tag, size = data[start : start + 4], struct.unpack_from("<i", data, start + 4)[0]
        yield tag, start + 8, start + 8 + size
        start += 8 + size


def test_the_files_in_the_mod_are_those_that_are_made():
    made = creatures.files()
    kept = {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for folder in ("models", "textures")
        for path in (creatures.MOD / folder).iterdir()
    }
    assert kept == made


def test_boxes_lie_on_the_sheet_and_bones_own_every_vertex():
    for creature in creatures.CREATURES:
        for part in creature.parts:
            for box in part.boxes:
                for u, v, width, height in creatures.faces(box).values():
                    assert u + width <= creatures.SHEET and v + height <= creatures.SHEET
        data = creatures.mesh(creature)
        assert data[:4] == b"BB3D" and len(data) == 8 + struct.unpack_from("<i", data, 4)[0]
        boxes = sum(len(part.boxes) for part in creature.parts)
        root = next(begin for tag, begin, _ in chunks(data[12:]) if tag == b"NODE") + 12
        inside = list(chunks(data[root + len(b"root\0") + 40 :]))
        bones = [chunk for chunk in inside if chunk[0] == b"NODE"]
        assert len(bones) == len(creature.parts)
        assert data.count(b"BONE") == len(creature.parts) and boxes > 0
