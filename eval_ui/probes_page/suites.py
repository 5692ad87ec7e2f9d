"""Suites written by ``basalt probe scope``, found and read; nothing of them is executed or unpickled."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.io.errors import BasaltError, ConfigError

PROBES_VARIABLE = "BASALT_PROBES"
"""Environment variable that names the folder under which suites are looked for."""

DEFAULT_FOLDER = "runs"
DEEPEST = 4
"""Suites lie at most so many folders below."""


@dataclass(frozen=True)
class Suite:
    """One suite.

    Attributes:
        folder: where it lies.
        title: its path below the folder that was searched.
        report: report.json.
    """

    folder: Path
    title: str
    report: dict[str, Any]

    @property
    def sites(self) -> list[str]:
        """Sites with autoencoders."""
        return list(dict.fromkeys(row["site"] for row in self.report["saes"]))

    def metrics(self, site: str) -> list[dict[str, Any]]:
        """Figures of the site's autoencoders."""
        return [row for row in self.report["saes"] if row["site"] == site]


@dataclass(frozen=True)
class Autoencoder:
    """One autoencoder of a suite.

    Attributes:
        folder: where it lies.
        site, name: as in the report.
        latents: rows of latents.json.
        effects: float32 [M, 142], first-order effects on the measures that the report names.
        episodes: of the activation store; `moments` count in it.
    """

    folder: Path
    site: str
    name: str
    latents: list[dict[str, Any]]
    effects: NDArray[np.float32]
    episodes: list[dict[str, Any]]


def find_suites() -> list[Suite]:
    """All suites below ``$BASALT_PROBES`` (default: ``runs``), newest first."""
    root = Path(os.environ.get(PROBES_VARIABLE) or DEFAULT_FOLDER)
    found = []
    for depth in range(DEEPEST + 1):
        for file in root.glob("/".join(["*"] * depth + ["report.json"])):
            try:
                report = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue  # half of something else's report is no suite
            if isinstance(report, dict) and report.get("format") == "basalt-scope":
                title = str(file.parent.relative_to(root))
                found.append((file.stat().st_mtime, Suite(file.parent, title, report)))
    return [suite for _, suite in sorted(found, key=lambda each: -each[0])]


def open_autoencoder(suite: Suite, site: str, name: str) -> Autoencoder:
    """An autoencoder that the suite's report names.

    Raises:
        BasaltError: it does not, or its files are damaged.
    """
    if not any((row["site"], row["name"]) == (site, name) for row in suite.report["saes"]):
        raise ConfigError(f"{suite.folder}: has no autoencoder {name} at {site}")
    folder = suite.folder / "saes" / site / name
    try:
        latents = json.loads((folder / "latents.json").read_text(encoding="utf-8"))
        effects = np.load(folder / "effects.npy", allow_pickle=False).astype(np.float32)
        store = json.loads((suite.folder / "activations" / "store.json").read_text("utf-8"))
        episodes = store["episodes"]
    except (OSError, ValueError, KeyError) as err:
        raise BasaltError(
            f"{folder}: cannot be read ({err}); run basalt probe scope again"
        ) from err
    if effects.shape != (len(latents), len(suite.report["measures"])):
        raise BasaltError(f"{folder}: latents.json and effects.npy do not fit one another")
    return Autoencoder(folder, site, name, latents, effects, episodes)
