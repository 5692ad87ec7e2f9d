"""A training run: its folder, with config and metrics, and its result."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TextIO, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from basalt.io.atomic import write_json, write_text
from basalt.io.claims import read_claim
from basalt.io.errors import ConfigError

log = logging.getLogger(__name__)


class Report(Protocol):
    """A report that can be printed."""

    def lines(self) -> list[str]:
        """The report in lines of text."""


ReportT = TypeVar("ReportT", bound=Report, covariant=True)


@dataclass(frozen=True)
class RunResult(Generic[ReportT]):
    """Result of a training run.

    Attributes:
        run: Folder of the run.
        step: Number of steps that what it trains has had.
        interrupted: Whether Ctrl-C stopped it early; the same settings resume it.
        seconds: Wall time of this call.
        report: How good it is, or how it ended; None when interrupted.
        unit: What its steps are called.
    """

    run: Path
    step: int
    interrupted: bool
    seconds: float
    report: ReportT | None
    unit: str = "steps"

    def lines(self) -> list[str]:
        """The result in lines of text."""
        lines = [f"{self.step} {self.unit} in {self.seconds:.0f} s: {self.run}"]
        return lines + (self.report.lines() if self.report else [])


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


class MetricsRow(BaseModel):
    """Metrics of one logged step, by name; a line of metrics.jsonl.

    Attributes:
        step: Number of optimizer steps done.
    """

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="constants")
    __pydantic_extra__: dict[str, float]

    step: int


def read_metrics(run: Path) -> list[MetricsRow]:
    """The complete rows of a run's metrics.jsonl; none if there is no such file.

    Raises:
        ConfigError: A row before the last one is damaged.
    """
    file = run / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(MetricsRow.model_validate_json(line))
        except ValidationError as err:
            if number < len(lines):  # else the last line of a killed run
                raise ConfigError(
                    f"{file}, line {number}: expected metrics of a step ({err.errors()[0]['msg']}); "
                    "restore or remove this file"
                ) from err
    return rows


class Metrics:
    """Writes metrics.jsonl (a `MetricsRow` per logged step) and TensorBoard files of a run.

    Args:
        run: Folder of the run.
        step: Number of steps done; rows logged beyond it (by a run killed after its last checkpoint) are
            dropped.
        is_main: Whether this process writes.
    """

    def __init__(self, run: Path, step: int, is_main: bool = True) -> None:
        self._file: TextIO | None = None
        self._board: Any = None
        if is_main:
            kept = [f"{row.model_dump_json()}\n" for row in read_metrics(run) if row.step <= step]
            write_text(run / "metrics.jsonl", "".join(kept))
            self._file = (run / "metrics.jsonl").open("a", encoding="utf-8", buffering=1)
            self._board = _tensorboard(run / "tensorboard", step)

    def __enter__(self) -> "Metrics":
        return self

    def write(self, step: int, **values: float) -> None:
        """Log the metrics of a step."""
        if self._file is not None:
            row = MetricsRow.model_validate({"step": step, **values})
            self._file.write(row.model_dump_json() + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def __exit__(self, *_error: object) -> None:
        for file in (self._file, self._board):
            if file is not None:
                file.close()


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("tensorboard is not installed; metrics go to metrics.jsonl only")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
