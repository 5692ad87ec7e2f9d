"""What a folder holds, which of its files are worth publishing, and what its card says of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from basalt.core.comparisons import SUFFIXES, read_comparisons
from basalt.core.intervals import rate_interval
from basalt.core.published import CARD, Kind
from basalt.core.recording import Recording, find_recordings
from basalt.core.tasks import get_task
from basalt.data.select import succeeds
from basalt.io.errors import BasaltError, ConfigError
from basalt.io.untrusted import parse_json, read_bounded
from basalt.policies.checkpoint import Checkpoint, find_checkpoint, has_checkpoint
from basalt.policies.pack import ENDING, FACTS, SEARCH
from basalt.probes.records import SuiteSettings

WEIGHTS = ("checkpoint.json", "model.safetensors")
"""Files of a checkpoint that playing needs."""

LEROBOT_INFO = "meta/info.json"

_OF_AN_INDEX = frozenset({".json", ".npy"})

_OF_A_SUITE = frozenset(
    {".csv", ".html", ".json", ".jsonl", ".md", ".npz", ".parquet", ".png", ".safetensors"}
)


@dataclass(frozen=True)
class Contents:
    """What is to be published.

    Attributes:
        folder: Folder of the files.
        kind: What they are.
        paths: Their paths below the folder, with slashes, without the card.
        facts: Rows of the card's table: what, and how much or which.
        loads: Commands that use them; `ADDRESS` stands for the address.
        tags: Tags of the card, for a hub's search.
    """

    folder: Path
    kind: Kind
    paths: tuple[str, ...]
    facts: Mapping[str, str]
    loads: tuple[str, ...]
    tags: tuple[str, ...]


def look_into(source: Path) -> Contents:
    """Find out what a folder, or a file of comparisons, holds.

    Raises:
        ConfigError: It is nothing that can be published.
        BasaltError: A file is damaged.
    """
    if source.is_file() and source.suffix in SUFFIXES:
        return _board(source)
    if not source.is_dir():
        raise ConfigError(f"{source}: expected a folder, or a file of comparisons; check the path")
    for is_one, read in _KINDS:
        if is_one(source):
            return read(source)
    raise ConfigError(
        f"{source}: expected recordings, a policy, a suite, a LeRobot dataset, or a file of comparisons, got "
        "none of them"
    )


def _policy(folder: Path) -> Contents:
    """A run or a packed policy: the newest weights alone, with its stopping head and demonstrations to follow, if any."""
    parts = [find_checkpoint(folder)]
    info = Checkpoint.read(parts[0] / WEIGHTS[0])
    has_ending, has_search = ((folder / part).is_dir() for part in (ENDING, SEARCH))
    if has_ending:
        parts.append(find_checkpoint(folder / ENDING, command="basalt train agent=ending"))
    task = get_task(info.task) if info.task else None
    stop = f" agent.stop=ADDRESS/{ENDING}" if has_ending else ""
    facts = {
        "task": task.title if task else "none",
        "optimizer steps": f"{info.step:,}",
        "trained on": f"{len(info.train_places)} places; {len(info.held_out_places)} held out",
        "frames": "{1} x {0}, {2} channels".format(*info.policy.img_shape),
        "memory": f"{info.policy.memory} frames",
        "stopping head": f"in the folder {ENDING}" if has_ending else "none",
        "demonstrations to follow": f"in the folder {SEARCH}" if has_search else "none",
    }
    name = task.name if task else "find_cave"
    rest = f"{stop} task={name} seeds=200000..200003 out=rollouts/theirs"
    loads = [f"basalt rollout agent=bc checkpoint=ADDRESS{rest}"]
    files = [part / name for part in parts for name in WEIGHTS]
    files += [part / name for part in (folder, folder / ENDING) for name in FACTS]
    if has_search:
        loads.append(f"basalt rollout agent=search checkpoint=ADDRESS/{SEARCH}{rest}")
        files += [folder / SEARCH / path for path in _files(folder / SEARCH, _OF_AN_INDEX)]
    loads.append(
        f"basalt train agent=bc init=ADDRESS task={name} data=folder data.source=MINE out=runs/mine"
    )
    paths = tuple(file.relative_to(folder).as_posix() for file in files if file.is_file())
    tags = ("reinforcement-learning", "imitation-learning")
    return Contents(folder, "policy", paths, facts, tuple(loads), tags)


def _suite(folder: Path) -> Contents:
    settings = SuiteSettings.read(folder / "config.json")
    facts = {
        "task": get_task(settings.task).title if settings.task else "none",
        "policy": f"SHA-256 {settings.fingerprint[:16]}...",
        "training frames": f"{settings.training_frames:,} of {settings.training_episodes} episodes",
        "held-out frames": f"{settings.held_out_frames:,} of {settings.held_out_episodes} episodes",
        "hook points": f"{len(list(folder.rglob('site.json')))}",
    }
    load = "basalt hub fetch ADDRESS --out runs/suite"
    return Contents(
        folder,
        "suite",
        _files(folder, _OF_A_SUITE),
        facts,
        (load,),
        ("interpretability", "sparse-autoencoder"),
    )


def _lerobot(folder: Path) -> Contents:
    try:
        info = parse_json(read_bounded(folder / LEROBOT_INFO))
        facts = {
            name: f"{info[f'total_{field}']:,}"
            for name, field in (("episodes", "episodes"), ("steps", "frames"), ("tasks", "tasks"))
        }
    except (KeyError, TypeError, ValueError) as err:
        raise ConfigError(
            f"{folder / LEROBOT_INFO}: expected what `basalt data lerobot` writes ({err!r}); export it again"
        ) from err
    load = "basalt hub fetch ADDRESS --out dataset"
    return Contents(
        folder,
        "lerobot",
        _files(folder, frozenset({".json", ".parquet", ".mp4"})),
        facts,
        (load,),
        ("LeRobot", "robotics"),
    )


def _recordings(folder: Path) -> Contents:
    found = find_recordings(folder)
    known = [one.meta for one in found if one.meta is not None]
    if len(known) < len(found):
        raise ConfigError(
            f"{folder}: expected recordings of this project, got some of BEDD's, which OpenAI publishes; leave them out"
        )
    tasks = sorted({meta.task for meta in known})
    facts = {
        "task": ", ".join(get_task(task).title for task in tasks),
        "episodes": f"{len(known)}, {sum(meta.steps for meta in known):,} steps",
        "played by": _listed(f"{meta.player} ({meta.player_kind})" for meta in known),
        "world": _listed(meta.world_version for meta in known),
        "seeds": f"{min(meta.seed for meta in known)} to {max(meta.seed for meta in known)}",
        "frames": _listed(f"{meta.width} x {meta.height}" for meta in known),
        "success by telemetry": _success(found),
    }
    paths = [
        str(file.relative_to(folder))
        for one in found
        for file in (one.video_path, one.lines_path, one.meta_path)
    ]
    paths += [name for name in ("rollout.json",) if (folder / name).is_file()]
    learn = f"basalt train agent=bc task={tasks[0]} data=folder data.source=ADDRESS out=runs/mine"
    look = "basalt data analyse ADDRESS"
    return Contents(
        folder,
        "recordings",
        tuple(paths),
        facts,
        (look, learn),
        ("imitation-learning", "reinforcement-learning"),
    )


def _board(file: Path) -> Contents:
    comparisons = read_comparisons(file)
    sides = [side for one in comparisons for side in (one.left, one.right)]
    facts = {
        "comparisons": f"{len(comparisons):,}",
        "tasks": _listed(get_task(one.task).title for one in comparisons),
        "agents": _listed(side.agent for side in sides),
        "raters": f"{len({one.rater for one in comparisons})}",
        "answers of": _listed(one.source for one in comparisons),
    }
    load = "basalt hub fetch ADDRESS --out board"
    return Contents(
        file.parent, "board", (file.name,), facts, (load,), ("human-feedback", "preferences")
    )


def _success(recordings: Sequence[Recording]) -> str:
    """How many of the recordings that telemetry can score succeed."""
    results = [won for one in recordings if (won := succeeds(one)) is not None]
    if not results:
        return "not known"
    low, high = rate_interval(sum(results), len(results))
    return f"{sum(results)} of {len(results)} ({low:.0%} to {high:.0%}, Wilson's 95% interval)"


def _listed(values: Iterable[str], most: int = 8) -> str:
    names = sorted(set(values))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _files(folder: Path, suffixes: frozenset[str]) -> tuple[str, ...]:
    """Files below a folder that end so, without the card and without hidden ones."""
    found = [
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.suffix in suffixes and path.is_file()
    ]
    return tuple(
        sorted(
            path.as_posix()
            for path in found
            if str(path) != CARD and not any(part.startswith(".") for part in path.parts)
        )
    )


def _is_policy(folder: Path) -> bool:
    return has_checkpoint(folder) or (folder / WEIGHTS[0]).is_file()


def _is_lerobot(folder: Path) -> bool:
    return (folder / LEROBOT_INFO).is_file()


def _is_suite(folder: Path) -> bool:
    try:
        SuiteSettings.read(folder / "config.json")
    except BasaltError:
        return False
    return True


def _has_recordings(folder: Path) -> bool:
    try:
        return bool(find_recordings(folder))
    except BasaltError:
        return False


_KINDS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Contents]], ...] = (
    (_is_policy, _policy),
    (_is_lerobot, _lerobot),
    (_is_suite, _suite),
    (_has_recordings, _recordings),
)
