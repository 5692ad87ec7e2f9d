"""Replays: a recording's actions are played again in its world, and the drift is measured.

A world in lock-step gives the same episode for the same seed and actions, so its recordings replay exactly. A
recording that does not was made in another world or by other actions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import basalt.worlds  # noqa: F401  (registers the environments)
from basalt.core.actions import EnvActions
from basalt.core.recorder_lines import DEGREES_PER_PIXEL, Line, decode_lines
from basalt.core.recording import Ended, Recording, RecordingMeta
from basalt.core.recording_checks import check_recording
from basalt.core.tasks import get_task
from basalt.core.telemetry import Telemetry
from basalt.io.console import progress_bar
from basalt.io.errors import RecordingError


@dataclass(frozen=True)
class Replay:
    """How a replay compares with its recording. Distances are in nodes (metres).

    Attributes:
        recording: Path of the recording without suffix.
        task: Name of the task.
        world: Name of the world.
        world_version: Version of the world in which it was recorded.
        seed: Seed of the episode.
        steps: Number of steps of the recording.
        replayed: Number of steps replayed; fewer than `steps` if the world ended the episode earlier.
        ended: How the recording ended.
        replayed_ended: How the replay ended; None if the world did not end it, as for an episode that was
            cut.
        drift_max: Largest distance between the two players; None if the world reports no positions.
        drift_mean: Mean of that distance over all states, or None.
        drift_end: That distance in the last state, or None.
        first_drift: Step after which positions first differ, 0 being the state after reset; None if never.
        first_difference: Step after which any telemetry first differs; None if never.
        differing: Names of the fields that differ then.
        picture_difference: Mean absolute difference between the replayed frames and the video's, of 255; above
            0 even for an exact replay, since the video is lossy. None if frames were not compared.
    """

    recording: str
    task: str
    world: str
    world_version: str
    seed: int
    steps: int
    replayed: int
    ended: Ended
    replayed_ended: Ended | None
    drift_max: float | None
    drift_mean: float | None
    drift_end: float | None
    first_drift: int | None
    first_difference: int | None
    differing: tuple[str, ...]
    picture_difference: float | None

    @property
    def complete(self) -> bool:
        """Whether all steps were replayed."""
        return self.replayed == self.steps

    @property
    def exact(self) -> bool:
        """Whether every state and the end equal the recording's, to the last bit."""
        same_end = self.replayed_ended is None or self.replayed_ended == self.ended
        return self.first_difference is None and self.complete and same_end

    def to_json(self) -> dict[str, Any]:
        """All fields and `exact`, JSON-ready."""
        return asdict(self) | {"exact": self.exact}

    def summary(self) -> str:
        """The result in one line, for people."""
        name = Path(self.recording).name
        if self.exact:
            return f"{name}: replays exactly, {self.steps} steps, drift 0"
        parts = [f"{self.replayed} of {self.steps} steps replayed"]
        if self.drift_max is not None:
            parts.append(
                f"drift at most {self.drift_max:.3g}, on average {self.drift_mean:.3g}, "
                f"at the end {self.drift_end:.3g} nodes"
            )
        else:
            parts.append("the world reports no positions")
        if self.first_difference is not None:
            fields = ", ".join(self.differing)
            parts.append(f"first difference after step {self.first_difference} ({fields})")
        if self.replayed_ended not in (None, self.ended):
            parts.append(f"ended by {self.replayed_ended}, not {self.ended}")
        return f"{name}: {'; '.join(parts)}"


def replay(
    recording: Recording,
    *,
    world_args: Mapping[str, Any] | None = None,
    any_version: bool = False,
    pictures: bool = True,
    progress: bool = False,
) -> Replay:
    """Play a recording's actions in its world, starting from its seed.

    Args:
        recording: Recording to replay; not one of BEDD's, which do not say their seed.
        world_args: Further keyword arguments of the environment, e.g. `address`.
        any_version: Whether to replay in another version of the world, which may drift.
        pictures: Whether to compare the frames with the video's.
        progress: Whether to show a progress bar on stderr.

    Raises:
        RecordingError: The recording is damaged, has no NAME.json or no telemetry, or was made in another
            version of its world.
        ConfigError: Its task or world is unknown.
        WorldError: The world failed.
    """
    meta = _checked(recording)
    expected, actions = recording.telemetry(), pressed_actions(recording.lines)
    env = gymnasium.make(
        get_task(meta.task).gym_id,
        world=meta.world,
        disable_env_checker=True,
        **dict(world_args or {}),
    )
    video = recording.frames() if pictures else None
    states: list[Telemetry] = []
    differences: list[float] = []
    ended: Ended | None = None

    def see(observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        states.append(info["telemetry"])
        if video is not None and (frame := next(video, None)) is not None:
            pair = observation["pov"].astype(np.int16), frame
            differences.append(float(np.abs(pair[0] - pair[1]).mean()))

    try:
        options = None if meta.edit is None else {"edit": meta.edit}
        observation, info = env.reset(seed=meta.seed, options=options)
        version = env.get_wrapper_attr("version")
        if version != meta.world_version and not any_version:
            raise RecordingError(
                f"{recording.meta_path}: recorded in {meta.world_version}, but this world is {version}; "
                "install that version, or allow any version (any_version=true) and expect drift"
            )
        see(observation, info)
        with progress_bar(
            total=len(actions), title=f"replay {recording.name}", unit="step", shown=progress
        ) as bar:
            for t in range(len(actions)):
                observation, _, terminated, truncated, info = env.step(actions.step(t))
                see(observation, info)
                bar.update()
                if terminated or truncated:
                    ended = info["ended"]
                    break
    finally:
        env.close()
    return _compare(recording, meta, expected, states, ended, differences)


def pressed_actions(lines: Sequence[Line]) -> EnvActions:
    """Actions as they were pressed, without the corrections for BEDD's recordings.

    The camera is the movement that the world applied. In the step in which a screen opens or closes that is
    zero, although the movement asked for still moved the cursor before a click; so it is taken instead.
    """
    actions = decode_lines(lines)
    for t, (line, after) in enumerate(pairwise(lines)):
        if after.is_gui_open != line.is_gui_open and line.asked_camera is not None:
            pixels = np.rint(np.array(line.asked_camera) / DEGREES_PER_PIXEL)
            actions.camera[t] = pixels * DEGREES_PER_PIXEL
    return actions


def _checked(recording: Recording) -> RecordingMeta:
    check_recording(recording)
    if recording.meta is None:
        raise RecordingError(
            f"{recording.stem}: {recording.meta_path.name} is missing, so its world and seed are unknown; "
            "only this project's own recordings can be replayed"
        )
    if len(recording.telemetry()) != len(recording) + 1:
        raise RecordingError(
            f"{recording.lines_path}: has no telemetry, so a replay cannot be compared with it"
        )
    return recording.meta


def _compare(
    recording: Recording,
    meta: RecordingMeta,
    expected: Sequence[Telemetry],
    states: Sequence[Telemetry],
    ended: Ended | None,
    differences: Sequence[float],
) -> Replay:
    drifts: list[float] | None = None
    if all(state.is_observed("xpos") for state in (*expected, *states)):
        drifts = [
            float(np.linalg.norm(_position(a) - _position(b)))
            for a, b in zip(expected, states, strict=False)
        ]
    first = next(
        (t for t, (a, b) in enumerate(zip(expected, states, strict=False)) if a != b), None
    )
    differing: tuple[str, ...] = ()
    if first is not None:
        now, then = states[first].model_dump(), expected[first].model_dump()
        differing = tuple(name for name in now if now[name] != then[name])
    return Replay(
        recording=str(recording.stem),
        task=meta.task,
        world=meta.world,
        world_version=meta.world_version,
        seed=meta.seed,
        steps=len(expected) - 1,
        replayed=len(states) - 1,
        ended=meta.ended,
        replayed_ended=ended,
        drift_max=max(drifts) if drifts else None,
        drift_mean=float(np.mean(drifts)) if drifts else None,
        drift_end=drifts[-1] if drifts else None,
        first_drift=next((t for t, drift in enumerate(drifts or ()) if drift > 0), None),
        first_difference=first,
        differing=differing,
        picture_difference=float(np.mean(differences)) if differences else None,
    )


def _position(state: Telemetry) -> np.ndarray:
    return np.array([state.xpos, state.ypos, state.zpos])
