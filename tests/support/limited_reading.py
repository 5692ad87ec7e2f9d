"""Read hostile files in a process that may take little more memory than it has: `python -m ... CASES.json`.

The file lists pairs of a reader's name (`READERS`) and a path. The process prints, for each, what the reader raised.
"""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from agents.search.index import open_index
from basalt.core.comparisons import read_comparisons
from basalt.core.controls import clip_brightness
from basalt.core.key_frames import open_video
from basalt.core.recording import Recording
from basalt.core.recording_checks import inspect
from basalt.core.video import VideoReader, probe
from basalt.data.bedd import load_index, read_quarantine
from basalt.data.validate import Validation, look_at
from basalt.io.claims import read_claim
from basalt.io.errors import BasaltError
from basalt.policies.checkpoint import load_policy
from basalt.probes.sae.files import load_sae
from leaderboard.bedd.answers import read_banned
from leaderboard.submissions.bundle import unpack_bundle
from leaderboard.submissions.legacy_episodes import LegacyOrigin, convert_legacy

MEGABYTES = 1_000
"""Memory that reading may take; each file would take more if it were read without bounds."""


def _faults(path: Path) -> None:
    found = inspect(Recording(path, None), decode=True)
    raise BasaltError("; ".join(str(fault) for fault in found.faults))


def _looked_at(path: Path) -> None:
    raise BasaltError("; ".join(fault for _, fault in look_at(path.parent, path.name).faults))


def _converted(path: Path) -> None:
    raise BasaltError("; ".join(convert_legacy(path, path / "out", LegacyOrigin("x"))))


READERS: dict[str, Callable[[Path], object]] = {
    "lines": lambda path: Recording(path, None).lines,
    "inspect": _faults,
    "validate": _looked_at,
    "description": Recording.open,
    "findings": Validation.read,
    "claim": lambda path: read_claim(path, "rollout"),
    "quarantine": read_quarantine,
    "index": lambda path: load_index(local=path),
    "comparisons": read_comparisons,
    "answers": read_banned,
    "policy": lambda path: load_policy(path, torch.device("cpu")),
    "autoencoder": load_sae,
    "search": open_index,
    "video": probe,
    "opened": open_video,
    "frames": VideoReader,
    "brightness": lambda path: clip_brightness(path, []),
    "bundle": lambda path: unpack_bundle(path, path.parent / "unpacked"),
    "legacy": _converted,
}


def main() -> None:
    """Read all files under the limit."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    found = []
    for reader, path in json.loads(Path(sys.argv[1]).read_text()):
        try:
            READERS[reader](Path(path))
            found.append("was read")
        except BasaltError as err:
            found.append(str(err))
        except Exception as err:
            found.append(f"{type(err).__name__} {err}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
