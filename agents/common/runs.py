"""A training run's folder: its config, its metrics, and how it is interrupted and taken up again."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from types import FrameType
from typing import Any

from basalt.io.atomic import replacing, write_json
from basalt.io.errors import ConfigError

log = logging.getLogger(__name__)

_KINDS: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
_ACCEPTED: dict[type, tuple[type, ...]] = {
    int: (int,),
    float: (float, int),
    str: (str, Path),
    bool: (bool,),
}


def read_settings(cls: Any, settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Plain settings checked against the fields of a dataclass, e.g. from a composed Hydra config.

    Args:
        cls: a dataclass whose fields are int, float, str or bool.
        settings: by name; a whole number does for a float, a path for a str.
        what: named in errors.

    Raises:
        ConfigError: an unknown name, or a value of the wrong type.
    """
    kinds = {f.name: _KINDS[str(f.type)] for f in fields(cls)}
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in kinds:
            close = get_close_matches(key, kinds, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(f"{what}: unknown setting {key!r}; {hint}known: {', '.join(kinds)}")
        kind = kinds[key]
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, _ACCEPTED[kind]):
            raise ConfigError(f"{what}: {key}={value!r} is not of type {kind.__name__}")
        values[key] = kind(value)
    return values


def claim_run(run: Path, config: Mapping[str, Any], may_change: frozenset[str]) -> None:
    """Make the run's folder, or check that it is a run with the same settings.

    Args:
        run: the folder.
        config: JSON-ready settings; written to config.json.
        may_change: settings that may differ when a run is taken up again.

    Raises:
        ConfigError: the folder holds a run with other settings; the message names the first.
    """
    run.mkdir(parents=True, exist_ok=True)
    file = run / "config.json"
    if file.is_file():
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except json.JSONDecodeError as err:
            raise ConfigError(f"{file}: not JSON ({err}); give another out=FOLDER") from err
        for key, value in config.items():
            if key not in may_change and before.get(key) != value:
                raise ConfigError(
                    f"{file}: this run was begun with {key}={before.get(key)!r}, now {key}={value!r}; "
                    "set it back to go on, or give another out=FOLDER"
                )
    write_json(file, dict(config))


class Metrics:
    """metrics.jsonl (one object a step) and TensorBoard files of a run.

    Args:
        run: the run's folder.
        step: steps done; what was logged beyond it (by a run killed after its last checkpoint) goes.
    """

    def __init__(self, run: Path, step: int) -> None:
        self.path = run / "metrics.jsonl"
        kept = [row for row in self.read() if row["step"] <= step]
        with replacing(self.path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8", buffering=1)
        self._board = _tensorboard(run / "tensorboard", step)

    def read(self) -> list[dict[str, Any]]:
        """All whole rows so far."""
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
        """Log numbers of a step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what is buffered."""
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


class StopRequest:
    """Turns the first Ctrl-C into a request that the loop honours between steps.

    A second Ctrl-C interrupts at once. Outside the main thread signals stay as they are.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._request)
        return self

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *_error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
