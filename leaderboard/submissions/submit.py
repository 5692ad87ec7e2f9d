"""What `basalt submit` does: prepare a folder or bundle, check it, replay episodes, register it."""

import random
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from basalt.core.recording import Recording, find_recordings
from basalt.core.records import first_fault
from basalt.io.console import note
from basalt.io.errors import RecordingError, StudyError
from leaderboard.store.database import default_store, open_existing, open_store
from leaderboard.studies.rules import OFFICIAL, StudyRules, find_study, official_study
from leaderboard.studies.settings import official_name, open_official_study
from leaderboard.submissions.bundle import About, BundleManifest, unpack_bundle, write_bundle
from leaderboard.submissions.checks import CheckedSubmission, SubmissionError, check_submission
from leaderboard.submissions.legacy_episodes import LegacyOrigin, convert_legacy, is_legacy
from leaderboard.submissions.register import SubmissionInfo, register, submitted_agents

TOLERANCE = 0.5
"""Distance in nodes by which a replay may stray from a recording's positions and still confirm it."""


class ReplayResult(Protocol):
    """What is read of a replay's result, see `basalt.rollouts.replay.Replay`."""

    @property
    def exact(self) -> bool:
        """Whether the replay equals the recording."""

    @property
    def complete(self) -> bool:
        """Whether all steps were replayed."""

    @property
    def drift_max(self) -> float | None:
        """Largest distance from the recorded positions in nodes; None if the world reports none."""

    def summary(self) -> str:
        """One line for people."""


@dataclass(frozen=True)
class ReplayPlan:
    """Which episodes are replayed in their world.

    Attributes:
        replay: Function that replays one recording; None replays nothing. The caller gives it, because
            replaying loads the worlds, which a rating server does without.
        count: Number of episodes to replay, drawn at random.
        seed: Seed of the draw; None draws differently each time.
    """

    replay: Callable[[Recording], ReplayResult] | None = None
    count: int = 0
    seed: int | None = None


@dataclass(frozen=True)
class Prepared:
    """Recordings ready to be checked.

    Attributes:
        source: Path of the folder or bundle as the user gave it; messages name it.
        folder: Folder that holds the recordings, unpacked and converted.
        about: The bundle's manifest; None if there is no bundle.
    """

    source: Path
    folder: Path
    about: BundleManifest | None = None

    def world(self) -> tuple[str, dict[str, str]]:
        """World that all recordings were played in, and its version by task.

        Raises:
            StudyError: They are of several worlds, of several versions for one task, or do not say which.
        """
        metas = [one.meta for one in find_recordings(self.folder) if one.meta]
        played = {(meta.task, meta.world, meta.world_version) for meta in metas}
        worlds = {world for _, world, _ in played}
        versions = {task: version for task, _, version in sorted(played)}
        if len(worlds) != 1 or len(versions) != len(played):
            found = ", ".join(sorted(" ".join(one) for one in played)) or "none in NAME.json"
            raise StudyError(
                f"{self.source}: expected recordings of one world in one version per task, got {found}"
            )
        return worlds.pop(), versions


def study_episodes(
    study: str | None, location: str | None, *, registers: bool
) -> frozenset[tuple[str, int]]:
    """Task and seed of each episode that a submission may hold.

    Args:
        study: Name of the study.
        location: Location of the leaderboard; None takes the default one.
        registers: Whether the submission is registered; otherwise no name means the official study.

    Raises:
        StudyError: There is no such study.
    """
    if study == OFFICIAL or (study is None and not registers):
        tasks = official_study(OFFICIAL, OFFICIAL).tasks  # the seeds are the same in all worlds
    else:
        with closing(open_existing(location)) as store:
            tasks = find_study(store, study).rules.tasks
    return frozenset((task, seed) for task, rules in tasks.items() for seed in rules.seeds)


@contextmanager
def prepared(
    source: Path,
    origin: LegacyOrigin,
    study: str | None,
    episodes: Callable[[], Collection[tuple[str, int]]],
) -> Iterator[Prepared]:
    """Recordings in a folder: as they are, unpacked or converted; temporary files are removed at the end.

    Args:
        source: Folder of recordings or of the original benchmark's files, or a bundle.
        origin: What the original benchmark's files do not say.
        study: Name of the study; named in errors.
        episodes: Function that gives task and seed of each episode that a bundle may hold, see `study_episodes`.

    Raises:
        StudyError: There is no such folder or bundle, or no such study.
        SubmissionError: Files of the original benchmark cannot be converted.
        BundleError: The bundle is not valid.
    """
    legacy = is_legacy(source)
    if source.is_dir() and not legacy:
        yield Prepared(source, source)
        return
    if not source.exists():
        raise StudyError(f"{source}: no such folder or bundle of recordings")
    scratch = Path(tempfile.mkdtemp(prefix="basalt-submit-"))
    try:
        about = None
        if not legacy:
            about = unpack_bundle(source, scratch, episodes())
        elif faults := convert_legacy(source, scratch, origin):
            raise SubmissionError(source, study or OFFICIAL, faults)
        yield Prepared(source, scratch, about)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def described(about: About | None, **said: object) -> About | None:
    """The bundle's description of the agent, replaced field by field by what the user says (if not empty).

    Raises:
        StudyError: A value is not valid.
    """
    given = {name: value for name, value in said.items() if value}
    if about is None and not given:
        return None
    kept = about.model_dump(include=set(About.model_fields)) if about else {"agent": "unnamed"}
    try:
        return About.model_validate(kept | given)
    except ValidationError as err:
        raise StudyError(first_fault(err, "about")) from err


def check(
    given: Prepared, study: str | None, location: str | None, name: str | None, plan: ReplayPlan
) -> CheckedSubmission:
    """Check and replay a submission without registering it.

    Args:
        given: Recordings to check.
        study: Name of the study; None or `official` checks against the official study's rules.
        location: Location of the leaderboard; None takes the default one.
        name: Name of the agent; by default the bundle's, or the player's in the recordings.
        plan: Which episodes are replayed.

    Raises:
        SubmissionError: With the list of all problems.
        StudyError: A replay does not confirm its recording.
    """
    if study in (None, OFFICIAL):
        world, versions = given.world()
        rules = official_study(world, versions)
        return _checked(given, official_name(world, versions), rules, name, plan)
    with closing(open_existing(location)) as store:
        found = find_study(store, study)
    return _checked(given, found.name, found.rules, name, plan)


def pack(path: Path, submission: CheckedSubmission, about: About | None) -> BundleManifest:
    """Write checked recordings as a bundle, under the agent's checked name.

    Raises:
        WriteError: The file cannot be written.
    """
    recordings = [item.recording for item in submission.recordings]
    return write_bundle(path, recordings, submission.described(about))


def submit(
    given: Prepared,
    study: str | None,
    location: str | None,
    name: str | None,
    plan: ReplayPlan,
    about: About | None,
) -> SubmissionInfo:
    """Check, replay and register a submission; each recording is checked once.

    Args:
        given: Recordings to register.
        study: Name of the study; None takes the newest. `official` is made if it does not exist.
        location: Location of the leaderboard; None takes the default one.
        name: Name of the agent; by default the bundle's, or the player's in the recordings.
        plan: Which episodes are replayed.
        about: Description of the agent, stored with the submission.

    Raises:
        SubmissionError: With the list of all problems; nothing is written.
        StudyError: A replay does not confirm its recording; nothing is written.
    """
    if study == OFFICIAL:
        # Before the store is opened: a rejected submission makes neither a store nor a study.
        checked = check(given, study, location, name, plan)
        with closing(open_store(location or default_store())) as store:
            return register(store, open_official_study(store, *given.world()), checked, about)
    with closing(open_existing(location)) as store:
        entered = find_study(store, study)
        taken = submitted_agents(store, entered)
        checked = _checked(given, entered.name, entered.rules, name, plan, taken)
        return register(store, entered, checked, about)


def _checked(
    given: Prepared,
    study: str,
    rules: StudyRules,
    name: str | None,
    plan: ReplayPlan,
    taken: Collection[str] = (),
) -> CheckedSubmission:
    """The recordings, checked against rules and replayed; see `check_submission` for the arguments."""
    agent = name or (given.about.agent if given.about else None)
    checked = check_submission(
        given.folder,
        study,
        rules,
        agent,
        taken=taken,
        source=given.source,
        manifest=given.about,
    )
    return replace(checked, replayed=_confirmed(checked, plan))


def _confirmed(submission: CheckedSubmission, plan: ReplayPlan) -> frozenset[tuple[str, int]]:
    """Replay some episodes; task and seed of those confirmed.

    Raises:
        StudyError: A replay ended elsewhere: the recording is not what it claims to be.
        WorldError: The world failed.
    """
    confirmed: set[tuple[str, int]] = set()
    if plan.replay is None:
        return frozenset()
    available = submission.recordings
    chosen = random.Random(plan.seed).sample(available, min(plan.count, len(available)))
    wrong = []
    for item in chosen:
        task, seed = item.key
        try:
            result = plan.replay(item.recording)
        except RecordingError as err:
            note(f"  {task} seed {seed}: cannot be replayed ({err})")
            continue
        if _agrees(result):
            confirmed.add(item.key)
        else:
            wrong.append(f"  - {task} seed {seed}: {result.summary()}")
    if wrong:
        raise StudyError("replay verification failed:\n" + "\n".join(wrong))
    return frozenset(confirmed)


def _agrees(result: ReplayResult) -> bool:
    near = result.drift_max is not None and result.drift_max <= TOLERANCE
    return result.exact or (near and result.complete)
