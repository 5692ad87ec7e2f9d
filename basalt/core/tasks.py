"""The four BASALT tasks as plain data, and the rule about which seeds may be used for what.

Instructions, step limits, inventories, official seeds and rater questions follow the MineRL BASALT
2022 competition and its evaluation data set (BEDD, arXiv 2312.02405).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from basalt.io.errors import ConfigError

STEPS_PER_SECOND = 20
"""Every world advances 50 ms of game time per step."""

Split = Literal["official", "train", "dev", "other"]

TRAIN_SEEDS = range(100_000, 200_000)
"""Seeds for demonstrations, samples and preference rounds."""

FIRST_DEV_SEED = 200_000
"""Seeds from here on are for choosing models and thresholds."""


@dataclass(frozen=True)
class Questions:
    """What raters are asked about a pair, besides who did better.

    Attributes:
        direct: yes-or-no questions, asked of each player.
        comparative: which player did better at one thing (left, right, draw, not applicable).
    """

    direct: tuple[str, ...]
    comparative: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One task without a reward function.

    Attributes:
        name: name in configs and commands, e.g. ``find_cave``.
        env_id: CamelCase name of the MineRL environment; the Gymnasium id is ``basalt/{env_id}-v0``.
        title: name shown to people.
        instruction: what the player is asked to do.
        step_limit: longest episode, in steps of 50 ms.
        official_seeds: the 11 evaluation seeds, for testing only.
        questions: what raters are asked.
        biome: preferred Minecraft biome category of the spawn.
        village: whether the spawn is in a village.
        inventory: (Minecraft item, count) by slot, slots 0-8 being the hotbar.
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
    inventory: tuple[tuple[str, int], ...] = field(default=())

    @property
    def gym_id(self) -> str:
        """Id for ``gymnasium.make``."""
        return f"basalt/{self.env_id}-v0"


_HUMAN_LIKE = "Which player seemed more human-like?"

_HOUSE_BLOCKS = (
    "cobblestone oak_log glass_pane torch dirt grass_block poppy spruce_log acacia_log jungle_log sand "
    "sandstone smooth_sandstone terracotta packed_ice snow_block cobweb white_wool black_dye blue_dye "
    "brown_dye green_dye red_dye white_dye yellow_dye flower_pot cactus lantern"
).split()

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="find_cave",
            env_id="FindCave",
            title="Find Cave",
            instruction=(
                "Look around for a cave. When you are inside one, end the episode by pressing ESC. "
                "Digging down from the surface to reach a cave is not allowed."
            ),
            step_limit=3_600,
            official_seeds=(
                14169, 65101, 78472, 76379, 39802, 95099, 63686, 49077, 77533, 31703, 73365,
            ),
            questions=Questions(
                direct=("Did this player find and enter a cave?",),
                comparative=(
                    "Which player found a cave the fastest?",
                    "Which player moved more quickly and efficiently?",
                    "Which player was better at looking for caves in places not yet explored?",
                    "Which player was better at going to areas where caves are likely?",
                    "Which player was better at noticing potential caves in view?",
                    "Which player was better at realizing when it was done?",
                    _HUMAN_LIKE,
                ),
            ),
            biome="plains",
        ),
        Task(
            name="make_waterfall",
            env_id="MakeWaterfall",
            title="Make Waterfall",
            instruction=(
                "You start in the mountains with a water bucket. Make a beautiful waterfall, move to a "
                "good viewpoint, look at it and end the episode by pressing ESC: the last frame is your "
                "photograph."
            ),
            step_limit=6_000,
            official_seeds=(
                95674, 39036, 70373, 84685, 91255, 56595, 53737, 12095, 86455, 19570, 40250,
            ),
            questions=Questions(
                direct=(
                    "Did this player create a waterfall?",
                    "Did this player end the video looking at its own waterfall?",
                ),
                comparative=(
                    "Which player moved more efficiently?",
                    "Which player chose a better location for the waterfall?",
                    "Which player took a better picture?",
                    _HUMAN_LIKE,
                ),
            ),
            biome="extreme_hills",
            inventory=(
                ("water_bucket", 1), ("cobblestone", 20), ("stone_shovel", 1), ("stone_pickaxe", 1),
            ),
        ),
        Task(
            name="create_village_animal_pen",
            env_id="CreateVillageAnimalPen",
            title="Create Village Animal Pen",
            instruction=(
                "Next to a house of the village, build a pen with at least two animals of one kind and "
                "no other kind in it, with a gate that people can use, then end the episode by pressing "
                "ESC. Do not harm the village: leave its houses, farms, pens and villagers alone."
            ),
            step_limit=6_000,
            official_seeds=(
                21212, 85236, 14975, 57764, 56029, 65215, 83805, 35884, 27406, 5681265, 20848,
            ),
            questions=Questions(
                direct=(
                    "Did the player harm the village?",
                    "Did the player build an enclosed space that animals cannot leave?",
                    "Does the player's pen contain at least two animals of one kind?",
                    "Does the player's pen contain only one type of animal?",
                    "Does the player's pen have at least one gate?",
                    "Was the player's pen built next to a house?",
                ),
                comparative=(
                    "Which player chose a better place for the pen?",
                    "Which player searched more effectively for animals?",
                    "After finding the animals, which player was better at penning them?",
                    _HUMAN_LIKE,
                ),
            ),
            biome="plains",
            village=True,
            inventory=(
                ("oak_fence", 64), ("oak_fence_gate", 64), ("carrot", 1), ("wheat_seeds", 1),
                ("wheat", 1),
            ),
        ),
        Task(
            name="build_village_house",
            env_id="BuildVillageHouse",
            title="Build Village House",
            instruction=(
                "Build a house in the style of this village, at a fitting place such as beside the "
                "path, without harming the village. Then show it: turn slowly so that walls and roof "
                "are seen, and end the episode by pressing ESC."
            ),
            step_limit=14_400,
            official_seeds=(
                52216, 29342, 67640, 73169, 86898, 70333, 12658, 99066, 92974, 32150, 78702,
            ),
            questions=Questions(
                direct=("Did the player harm the village?",),
                comparative=(
                    "Which player chose a better place for the house?",
                    "Which player's structure seemed most like a house?",
                    "Which player was better at removing unnecessary blocks?",
                    "Which player was better at using the appropriate kinds of block?",
                    "Which player's house better matched the style of the village?",
                    "Which player built the better-looking house?",
                    _HUMAN_LIKE,
                ),
            ),
            biome="plains",
            village=True,
            inventory=(
                ("stone_pickaxe", 1), ("stone_axe", 1), *((block, 64) for block in _HOUSE_BLOCKS),
            ),
        ),
    )
}  # fmt: skip


def get_task(name: str) -> Task:
    """The task of that name (``find_cave``) or MineRL name (``FindCave``).

    Raises:
        ConfigError: no such task; the message lists the names.
    """
    for task in TASKS.values():
        if name in (task.name, task.env_id, task.gym_id):
            return task
    close = get_close_matches(name, TASKS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"task: unknown task {name!r}; {hint}known: {', '.join(TASKS)}")


def split_of(task: Task, seed: int) -> Split:
    """Which use a seed of a task is kept for."""
    if seed in task.official_seeds:
        return "official"
    if seed in TRAIN_SEEDS:
        return "train"
    return "dev" if seed >= FIRST_DEV_SEED else "other"


def parse_seeds(spec: str | int | Iterable[int], task: Task) -> list[int]:
    """Seeds from a command's ``seeds=``: ``official``, one number, a list, or a range ``a..b`` (both ends).

    Raises:
        ConfigError: not one of these forms, negative, or empty.
    """
    if isinstance(spec, str):
        text = spec.strip()
        if text == "official":
            return list(task.official_seeds)
        if match := re.fullmatch(r"(\d+)\.\.(\d+)", text):
            seeds = list(range(int(match[1]), int(match[2]) + 1))
        elif re.fullmatch(r"\[?\s*\d+(\s*,\s*\d+)*\s*\]?", text):
            seeds = [int(number) for number in re.findall(r"\d+", text)]
        else:
            raise ConfigError(f"seeds: {spec!r} is not 'official', a list [1,2] or a range 1..9")
    elif isinstance(spec, int):
        seeds = [spec]
    else:
        seeds = [int(seed) for seed in spec]
    if not seeds:
        raise ConfigError(f"seeds: {spec!r} names no seed")
    if min(seeds) < 0:
        raise ConfigError(f"seeds: {min(seeds)} is negative; seeds are whole numbers from 0")
    if len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds: {spec!r} names a seed twice")
    return seeds


def refuse_official(task: Task, seeds: Iterable[int], purpose: str) -> None:
    """Keep evaluation seeds out of everything that learns or chooses.

    Raises:
        ConfigError: one of the seeds is official, or is not set aside for training or development.
    """
    for seed in seeds:
        split = split_of(task, seed)
        if split in ("official", "other"):
            why = "an official evaluation seed" if split == "official" else "not a training seed"
            raise ConfigError(
                f"seeds: {seed} is {why} of {task.name}; {purpose} uses seeds from "
                f"{TRAIN_SEEDS.start} (train to {TRAIN_SEEDS.stop - 1}, dev from {FIRST_DEV_SEED})"
            )
