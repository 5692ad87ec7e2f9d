"""Minecraft: a client of the process that MineRL 1.0 builds, without MineRL's Python package."""
