"""Torch policies: the VPT architecture at any size, its checkpoints, frame preprocessing and losses."""

import os

# As in `agents`: threads that wait sleep instead of taking the cores of a running world.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
