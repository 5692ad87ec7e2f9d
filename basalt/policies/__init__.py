"""Torch policies: the VPT architecture at any size, its checkpoints, frame preprocessing and losses."""
