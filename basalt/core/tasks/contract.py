"""What a task is: data for players, judges and worlds, and its success by telemetry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.telemetry import Fact, Telemetry

STEPS_PER_SECOND = 20
"""Every world advances 50 ms of game time per step."""

HUMAN_LIKE = "Which player seemed more human-like?"
"""Comparative question that every task asks last."""

Site = Mapping[str, Any]
"""What a world knows about the place of an episode; lengths in nodes."""


@dataclass(frozen=True)
class Questions:
    """Questions for raters about a pair of episodes, besides which player did better.

    Attributes:
        direct: Yes-or-no questions, asked about each player.
        comparative: Questions which player did better at one thing (left, right, draw, not applicable).
    """

    direct: tuple[str, ...]
    comparative: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """Result of one episode by telemetry.

    Attributes:
        success: Whether the task was completed.
        ended: How the episode ended: `esc`, `limit`, `cut`, `death` or `crash`.
        steps: Length of the episode in steps of 50 ms.
        progress: Tie-break among failures; larger is better.
        progress_name: What `progress` measures, in words.
        quality: Tie-break among successes, before speed; larger is better.
        quality_name: What `quality` measures, in words.
    """

    success: bool
    ended: str
    steps: int
    progress: float
    progress_name: str
    quality: float = 0.0
    quality_name: str = ""


@dataclass(frozen=True)
class Success:
    """Success at a task by telemetry.

    Attributes:
        needed_fact: Fact that a world has to report, otherwise success cannot be seen; Minecraft does not.
        outcome: Outcome of an episode, from the telemetry of all its n + 1 states and how it ended.
    """

    needed_fact: str
    outcome: Callable[[Sequence[Telemetry], str], Outcome]


@dataclass(frozen=True)
class Milestone:
    """Something on the way to success, which a single state shows.

    A milestone is reached if any state of the episode shows it, so neither waiting nor a longer episode reaches one.

    Attributes:
        name: Name in records, e.g. `mouth_seen`.
        meaning: What the player did, in words.
        needs: Fields and facts of telemetry that a state has to report, otherwise it is not known.
        is_shown: Whether a state that reports them shows the milestone, given the episode's first state as well.
    """

    name: str
    meaning: str
    needs: tuple[str, ...]
    is_shown: Callable[[Telemetry, Telemetry], bool]


def milestone(
    name: str, meaning: str, *facts: str, shown: Callable[[Mapping[str, Fact]], bool]
) -> Milestone:
    """Return a milestone that facts alone show.

    Args:
        name: Name in records.
        meaning: What the player did, in words.
        facts: Names of the facts.
        shown: Whether these facts show it.
    """
    return Milestone(name, meaning, facts, lambda _, state: shown(state.facts))


@dataclass(frozen=True)
class Task:
    """One task without a reward function.

    Attributes:
        name: Name in settings and commands, e.g. `find_cave`; also that of its folder.
        env_id: CamelCase name of the MineRL environment; the Gymnasium id is `basalt/{env_id}-v0`.
        title: Name shown to people.
        instruction: Text that the player is given.
        step_limit: Length of the longest episode, in steps of 50 ms.
        official_seeds: The evaluation seeds, for testing only.
        questions: Questions for raters.
        biome: Preferred Minecraft biome category of the spawn.
        village: Whether the spawn is in a village.
        inventory: (Minecraft item, count) by slot, slots 0-8 being the hotbar.
        order: Position among the tasks in lists; tasks in the same position are sorted by name.
        folder: Folder with the Lua files that build and observe it in the Luanti world; None if there are none.
        success: Success by telemetry; None if only people can judge it.
        milestones: What is reached on the way to success, in order; success itself follows them.
        visible_change: What a viewer of a clip sees change at each of its n steps, float64 [n], from the telemetry of
            its n + 1 states; see `basalt.core.tasks.visible`. None if only people can judge a clip.
        bedd_folder: OpenAI's name of its folder of demonstrations; None if there are none.
        facts: Facts of its telemetry in the Luanti world: meaning and unit, by name.
        concepts: Yes-or-no facts of its telemetry that probes look for in a policy.
        site_columns: Columns of a table of its sites: title, and text of a site.
    """

    name: str
    env_id: str
    title: str
    instruction: str
    step_limit: int
    official_seeds: tuple[int, ...]
    questions: Questions
    biome: str
    village: bool = False
    inventory: tuple[tuple[str, int], ...] = ()
    order: int = 100
    folder: Path | None = None
    success: Success | None = None
    milestones: tuple[Milestone, ...] = ()
    visible_change: Callable[[Sequence[Telemetry]], NDArray[np.float64]] | None = None
    bedd_folder: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)
    concepts: tuple[str, ...] = ()
    site_columns: tuple[tuple[str, Callable[[Site], str]], ...] = ()

    @property
    def gym_id(self) -> str:
        """Id for `gymnasium.make`."""
        return f"basalt/{self.env_id}-v0"


def site_length(*names: str) -> Callable[[Site], str]:
    """Return a column that shows a length of the site, in whole nodes.

    Args:
        names: Keys that lead to the length.
    """

    def text(site: Site) -> str:
        value: Any = site
        for name in names:
            value = value[name]
        return f"{value:.0f}"

    return text
