"""What is measured, as files: `site.json` of a site and `metrics.json` of an autoencoder.

A suite may have been measured by an older version, which knew fewer figures. A file that lacks one counts as
not measured: the suite measures it again, and a report leaves it out and says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from basalt.io.errors import ConfigError

SITE, METRICS = "site.json", "metrics.json"

FIELDS = {
    SITE: (
        "site", "width", "clean_loss", "eval_frames", "eval_episodes", "zero", "mean",
        "principal_unexplained", "concepts_left_out", "concept_frames", "dense_probe", "best_neuron",
        "best_component", "random_network_sae", "per_episode",
    ),
    METRICS: (
        "site", "name", "training", "variance_explained", "variance_explained_interval", "l0", "l0_interval",
        "gamma", "gamma_interval", "dead_share", "density_histogram", "dense_share", "one_episode_share",
        "loss", "loss_change", "loss_change_interval", "kl", "kl_interval", "kl_buttons", "kl_camera",
        "kl_esc", "agreement", "recovered_zero", "recovered_mean", "concepts", "per_episode",
    ),
}  # fmt: skip
"""By file: what the tables, the plots and the page read of it."""


def read_measured(file: Path) -> dict[str, Any]:
    """A `site.json` or `metrics.json`, whole.

    Raises:
        ConfigError: it is not there, damaged, or lacks figures that this version measures.
    """
    lower = file.parent if file.name == SITE else file.parent.parent
    again = f"run basalt probe scope for sites=[{lower.name}] again, which measures it anew"
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise ConfigError(f"{file}: cannot be read ({err}); {again}") from err
    lacking = [name for name in FIELDS[file.name] if not isinstance(row, dict) or name not in row]
    if lacking:
        raise ConfigError(
            f"{file}: lacks {', '.join(lacking)}, measured by an older version; {again}"
        )
    return dict(row)


def is_measured(file: Path) -> bool:
    """Whether `read_measured` reads it."""
    try:
        read_measured(file)
    except ConfigError:
        return False
    return True


def read_all(files: Sequence[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Those of the files that are whole, and of the others what is wrong with them."""
    rows, wrong = [], []
    for file in files:
        try:
            rows.append(read_measured(file))
        except ConfigError as err:
            wrong.append(str(err))
    return rows, wrong
