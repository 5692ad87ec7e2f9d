"""Minecraft: the process that MineRL 1.0 builds, spoken to directly, without MineRL's Python package."""
