"""The folder of a training run: its config and its metrics."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from basalt.io.atomic import replacing, write_json
from basalt.io.claims import read_claim

log = logging.getLogger(__name__)


def upgrade_settings(file: Path, config: Callable[..., Any]) -> None:
    """Write the settings of an old run under their present names and values.

    Args:
        file: config.json of a run; nothing happens if it is missing.
        config: Class of the settings (`basalt.core.settings.settings`), which reads old ones.
    """
    if file.is_file():
        before = read_claim(file, "training run")
        present = asdict(config(**before))
        if present != before:
            write_json(file, present)


class Metrics:
    """metrics.jsonl (one object per logged step) and TensorBoard files of a run.

    Args:
        run: Folder of the run.
        step: Number of steps done; rows logged beyond it (by a run killed after its last checkpoint) are
            dropped.
    """

    def __init__(self, run: Path, step: int) -> None:
        self.path = run / "metrics.jsonl"
        kept = [row for row in self.read() if row["step"] <= step]
        with replacing(self.path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8", buffering=1)
        self._board = _tensorboard(run / "tensorboard", step)

    def read(self) -> list[dict[str, Any]]:
        """All complete rows so far."""
        if not self.path.is_file():
            return []
        rows = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break  # the last line of a killed run
        return rows

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of a step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("tensorboard is not installed; metrics go to metrics.jsonl only")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
