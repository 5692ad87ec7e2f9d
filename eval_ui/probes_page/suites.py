"""Find and read suites written by `basalt probe scope`; nothing in them is executed or unpickled."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from basalt.io.errors import BasaltError, ConfigError
from basalt.probes.records import (
    Latent,
    LatentTable,
    ProbeRecord,
    SAEResult,
    StoredEpisode,
    StoreSettings,
    SuiteReport,
)
from basalt.probes.smoke_record import SmokeReport

R = TypeVar("R", bound=ProbeRecord)

PROBES_VARIABLE = "BASALT_PROBES"
"""Environment variable with the folder in which suites are searched for."""

DEFAULT_FOLDER = "runs"
DEEPEST = 4
"""Largest depth below that folder at which suites are found."""


@dataclass(frozen=True)
class Suite:
    """One suite.

    Attributes:
        folder: Folder of the suite.
        title: Its path below the folder that was searched.
        report: Content of report.json.
    """

    folder: Path
    title: str
    report: SuiteReport

    @property
    def hook_points(self) -> list[str]:
        """Hook points with autoencoders."""
        return list(dict.fromkeys(row.hook_point for row in self.report.saes))

    def results(self, hook_point: str) -> list[SAEResult]:
        """Results of the autoencoders at a hook point."""
        return [row for row in self.report.saes if row.hook_point == hook_point]


@dataclass(frozen=True)
class Autoencoder:
    """One autoencoder of a suite.

    Attributes:
        folder: Folder of the autoencoder.
        result: Its metrics.
        latents: Content of latents.json.
        effects: First-order effects on the measures that the report names, float32 [M, 142].
        episodes: Episodes of the activation store, which `Moment.episode` counts.
    """

    folder: Path
    result: SAEResult
    latents: tuple[Latent, ...]
    effects: NDArray[np.float32]
    episodes: tuple[StoredEpisode, ...]


def results_folder() -> Path:
    """The folder in which the app looks for results: `$BASALT_PROBES`, by default `runs`."""
    return Path(os.environ.get(PROBES_VARIABLE) or DEFAULT_FOLDER)


def find_suites() -> list[Suite]:
    """All suites below `$BASALT_PROBES` (default: `runs`), newest first; reports that cannot be read are skipped."""
    root = results_folder()
    return [
        Suite(folder, str(folder.relative_to(root)), report)
        for folder, report in _reports(SuiteReport)
    ]


def find_smoke_tests() -> dict[str, SmokeReport]:
    """All results of `basalt probe sae` by their folder below the same one, newest first; `make demo` makes one."""
    root = results_folder()
    return {str(folder.relative_to(root)): report for folder, report in _reports(SmokeReport)}


def _reports(kind: type[R]) -> list[tuple[Path, R]]:
    """The folders with a report of a kind, newest first, and their reports."""
    found = []
    for depth in range(DEEPEST + 1):
        for file in results_folder().glob("/".join(["*"] * depth + ["report.json"])):
            try:
                report = kind.read(file)
            except ConfigError:
                continue  # other commands write a report.json too
            found.append((file.stat().st_mtime, file.parent, report))
    return [(folder, report) for _, folder, report in sorted(found, key=lambda each: -each[0])]


def open_autoencoder(suite: Suite, hook_point: str, name: str) -> Autoencoder:
    """Read an autoencoder that is in the suite's report.

    Raises:
        BasaltError: it is not in the report, or its files are damaged.
    """
    result = next((row for row in suite.results(hook_point) if row.name == name), None)
    if result is None:
        raise ConfigError(
            f"{suite.folder}: autoencoder {name!r} at {hook_point!r} is not in its report"
        )
    folder = suite.folder / "saes" / hook_point / name
    try:
        latents = LatentTable.read(folder / "latents.json").latents
        effects = np.load(folder / "effects.npy", allow_pickle=False).astype(np.float32)
        episodes = StoreSettings.read(suite.folder / "activations" / "store.json").episodes
    except (OSError, ValueError, ConfigError) as err:
        raise BasaltError(
            f"{folder}: cannot be read ({err}); run basalt probe scope again"
        ) from err
    if effects.shape != (len(latents), len(suite.report.measures)):
        raise BasaltError(
            f"{folder}: expected effects.npy of shape {(len(latents), len(suite.report.measures))}, "
            f"got {effects.shape}; run basalt probe scope again"
        )
    return Autoencoder(folder, result, latents, effects, episodes)
