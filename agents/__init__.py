"""Agents: one readable module each; `agents.registry` finds them by name."""

import os

# Torch's threads spin while they wait for each other. Beside a running world that makes two threads
# many times slower than one; asleep they are not. Must be set before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
