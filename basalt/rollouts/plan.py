"""What a rollout plays, and the folder that it is recorded in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import basalt
from basalt.core.actions import FRAME_SIZE
from basalt.core.recording import Recording
from basalt.core.tasks import get_task
from basalt.core.video import DEFAULT_CRF
from basalt.io.claims import claim
from basalt.io.errors import ConfigError
from basalt.worlds.edits import parse_edit

WORLD_ATTEMPTS = 3
"""How often an episode is played if its world fails, each time from its start."""

RUN_SETTINGS = ("address", "max_memory", "kept_games", "prepare_next", "seeds")
"""World settings that do not affect the episode, like all timeouts; a rollout may be resumed with others."""

SETTING_NAMES = {"step_limit": "max_steps", "world_args": "world.args"}
"""Names of the command's settings that differ from those in `rollout.json`."""


class Interruption(NamedTuple):
    """Steps of an episode in which the player's actions are replaced by no-ops.

    The player is asked for its actions all the same, and sees what happens.

    Attributes:
        start: Number of the first such step.
        steps: Number of such steps.
    """

    start: int
    steps: int


@dataclass(frozen=True)
class RolloutPlan:
    """What to play.

    Attributes:
        task: Name of the task.
        world: Name of the world.
        agent: Settings of the agent, JSON-ready.
        seeds: Seeds to play, one episode each.
        out: Folder of the recordings, named `seed_{seed}`.
        max_steps: Number of steps after which an episode is cut; None for the task's own limit.
        world_args: Further keyword arguments of the environment.
        crf: Quality of the videos (x264's CRF); lower is better and larger.
        edit: Change made in every seed's world, for counterfactual worlds (`basalt.worlds.edits`).
        edits: Changes by seed, where each seed's world is changed in its own way; those seeds have no `edit`.
        interruptions: When the player is interrupted, by seed.
        attempts: How often an episode is played if its world fails, each time from its start.
        facts: Further facts that all episodes in the folder share, JSON-ready; they are claimed with the others.
        film_size: Width and height of the recorded frames, where people should see larger ones than the agent does: a
            finished episode is played again at this size by the same actions. None to record what the agent sees.

    Raises:
        ConfigError: `max_steps` is below 1, `edit` is not valid, or some steps would have no picture.
    """

    task: str
    world: str
    agent: Mapping[str, Any]
    seeds: tuple[int, ...]
    out: Path
    max_steps: int | None = None
    world_args: Mapping[str, Any] = field(default_factory=dict)
    crf: int = DEFAULT_CRF
    edit: Mapping[str, Any] | None = None
    edits: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    interruptions: Mapping[int, Interruption] = field(default_factory=dict)
    attempts: int = WORLD_ATTEMPTS
    facts: Mapping[str, Any] = field(default_factory=dict)
    film_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.max_steps is not None and self.max_steps < 1:
            raise ConfigError(f"max_steps: expected an integer of at least 1, got {self.max_steps}")
        if self.world_args.get("render_every", 1) != 1:
            raise ConfigError(
                "world.args.render_every: expected 1, since a recording shows every step; "
                f"got {self.world_args['render_every']}"
            )
        sizes = {
            "world.args.size": self.world_args.get("size", FRAME_SIZE),
            "film_size": self.film_size or FRAME_SIZE,
        }
        for name, size in sizes.items():
            if any(int(edge) % 2 for edge in size):
                raise ConfigError(
                    f"{name}: expected even numbers, since a recording is a video; got {list(size)}"
                )
        for edit in (self.edit, *self.edits.values()):
            if edit is not None:
                parse_edit(edit)

    def edit_of(self, seed: int) -> Mapping[str, Any] | None:
        """The change made in a seed's world; None for none."""
        return self.edits.get(seed, self.edit)

    def is_interrupted(self, seed: int, step: int) -> bool:
        """Whether the player's action of a step is replaced by a no-op."""
        found = self.interruptions.get(seed)
        return found is not None and found.start <= step < found.start + found.steps

    @property
    def step_limit(self) -> int:
        """Number of steps after which an episode ends or is cut."""
        limit = get_task(self.task).step_limit
        return limit if self.max_steps is None else min(limit, self.max_steps)

    @property
    def episode_args(self) -> dict[str, Any]:
        """The arguments of the environment that affect the episode."""
        return {
            key: value
            for key, value in self.world_args.items()
            if key not in RUN_SETTINGS and not key.endswith("_timeout_s")
        }

    def claim_folder(self) -> None:
        """Write what is played to `rollout.json`, or check that the folder was made for the same.

        Raises:
            ConfigError: The folder holds another rollout.
        """
        file = self.out / "rollout.json"
        if not any(self.out.glob("seed_*.json")):
            # Nothing was recorded, so the folder is free for any rollout.
            file.unlink(missing_ok=True)
        facts = {
            "agent": dict(self.agent),
            "task": self.task,
            "world": self.world,
            "world_args": self.episode_args,
            "step_limit": self.step_limit,
            "edit": None if self.edit is None else dict(self.edit),
            # Always written: a folder that was made with interruptions must not be continued without them.
            "edits": {str(n): dict(one) for n, one in self.edits.items()} or None,
            "interruptions": {str(n): list(one) for n, one in self.interruptions.items()} or None,
            "film_size": None if self.film_size is None else list(self.film_size),
            **self.facts,  # last: a setting that differs says more than a hash
        }
        header = {"package_version": basalt.__version__}
        claim(file, "rollout", facts, settings=SETTING_NAMES, header=header)

    def check_version(self, version: str) -> None:
        """Check that the episodes in the folder were recorded in this version of the world.

        Raises:
            ConfigError: One was recorded in another version.
        """
        for file in self.out.glob("seed_*.json"):
            meta = Recording.open(file).meta
            if meta is not None and meta.world_version != version:
                raise ConfigError(
                    f"{file}: recorded in {meta.world} version {meta.world_version}, but this one is "
                    f"{version}, and versions are never mixed; use another out=FOLDER, or install the "
                    "earlier version to resume this rollout"
                )

    def is_recorded(self, seed: int) -> bool:
        """Whether this seed's episode is in the folder."""
        return (self.out / f"{recording_name(seed)}.json").is_file()


def recording_name(seed: int) -> str:
    """Name of a seed's recording, without suffix."""
    return f"seed_{seed}"
