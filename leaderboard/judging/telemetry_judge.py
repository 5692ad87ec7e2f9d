"""Judgments by a rule over telemetry, with a source of their own."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.core.recording import Recording
from basalt.core.scoring import outcome, telemetry_judge
from basalt.core.tasks import Outcome, get_task
from leaderboard.judging.pairs import all_pairs, require_source
from leaderboard.store.database import Store
from leaderboard.store.models import Episode, Judgment, new_id, pair_key
from leaderboard.studies.rules import StudyInfo, lock_study


def judge_by_telemetry(store: Store, study: StudyInfo) -> int:
    """Let the telemetry judge answer every pair it has not answered; returns the number of new judgments.

    It replaces people before anybody has judged. Its judgments have the source `telemetry` and are not mixed
    with people's by default. The justification names the rule that decided.

    Raises:
        StudyError: The study does not accept judgments by telemetry.
        ConfigError: A task's success is not defined by telemetry, or an episode has no telemetry.
        RecordingError: A stored recording cannot be read.
    """
    require_source(study, "telemetry")
    outcomes: dict[str, Outcome] = {}

    def judged(episode: Episode) -> Outcome:
        if episode.id not in outcomes:
            files = [
                store.media_file(f"{episode.media_name}{suffix}")
                for suffix in (".mp4", ".jsonl", ".json")
            ]
            recording = Recording.open(files[0])
            task = get_task(episode.task)
            outcomes[episode.id] = outcome(task, recording.telemetry(), episode.ended)
        return outcomes[episode.id]

    with store.read() as session:
        present = _telemetry_pairs(session, study)
        pairs = [
            (left, right)
            for left, right in all_pairs(session, study)
            if pair_key(left.id, right.id) not in present
        ]
    # In a fixed order (task, seed, names), so that equal recordings give equal ratings.
    verdicts = [
        (left, right, telemetry_judge(judged(left), judged(right))) for left, right in pairs
    ]
    with store.write() as session:
        lock_study(session, study)
        present = _telemetry_pairs(session, study)
        now = datetime.now(UTC)
        added = [
            Judgment(
                id=new_id(),
                study_id=study.id,
                left_episode_id=left.id,
                right_episode_id=right.id,
                pair=pair_key(left.id, right.id),
                winner=verdict.winner,
                source="telemetry",
                responses={},
                justification=verdict.reason,
                video_events=[],
                created=now,
            )
            for left, right, verdict in verdicts
            if pair_key(left.id, right.id) not in present
        ]
        for judgment in added:
            session.add(judgment)
            session.flush()  # one by one, so that their numbers follow this order
    return len(added)


def _telemetry_pairs(session: Session, study: StudyInfo) -> set[str]:
    return set(
        session.scalars(
            sa.select(Judgment.pair).where(
                Judgment.study_id == study.id, Judgment.source == "telemetry"
            )
        )
    )
