"""Reads a dataset with lerobot and prints what it found as JSON; run by test_lerobot.py in an environment with lerobot."""

import json
import sys

from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("basalt/export", root=sys.argv[1], video_backend="pyav")
episodes: dict[int, dict[str, list[float]]] = {}
for row in range(len(dataset)):
    item = dataset[row]
    found = episodes.setdefault(int(item["episode_index"]), {"done": [], "brightness": []})
    found["done"].append(bool(item["next.done"]))
    found["brightness"].append(float(item["observation.images.pov"].mean()))
    assert item["action"].shape == (25,) and item["task"]
names = dataset.features["action"]["names"]
print(json.dumps({"frames": len(dataset), "names": names, "episodes": list(episodes.values())}))
