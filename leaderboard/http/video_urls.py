"""Links to videos: opaque, signed by the store, and valid for a limited time.

A link holds an opaque id, and the side or its expiry. The agent's name is in neither the link nor the file nor
its name. Anybody with the link may see the video, because a browser's player cannot send a secret.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from itsdangerous import BadSignature, URLSafeSerializer

from leaderboard.judging.assignments import ServedPair
from leaderboard.judging.clip_queue import ServedClips
from leaderboard.store.database import Store
from leaderboard.store.models import Assignment, AttentionCheck, ClipShowing, Episode
from leaderboard.studies.access import AccessDeniedError, store_secret

VIDEO_PATH = "/api/video"
"""Path under which `leaderboard.http.api`, mounted at `/api`, serves videos: `/api/video/TICKET`."""

EPISODE_HOURS = 6
"""Hours for which a link to a browsed episode is valid."""


@dataclass(frozen=True)
class PairVideos:
    """Links to a served pair's videos, relative to the server's root."""

    left: str
    right: str


def pair_videos(store: Store, pair: ServedPair | ServedClips) -> PairVideos:
    """Links to both videos of a served pair, valid as long as it is reserved, and the same each time."""
    left, right = (
        f"{VIDEO_PATH}/{_sign(store, 'pair', pair.assignment_id, side)}"
        for side in ("left", "right")
    )
    return PairVideos(left, right)


def episode_video(store: Store, episode_id: str, *, now: datetime | None = None) -> str:
    """Link to an episode's video for browsing; give it only to people who may see the video."""
    expires = (now or datetime.now(UTC)) + timedelta(hours=EPISODE_HOURS)
    return f"{VIDEO_PATH}/{_sign(store, 'episode', episode_id, int(expires.timestamp()))}"


def video_of_ticket(store: Store, ticket: str, *, now: datetime | None = None) -> str:
    """Name of a link's video in the media folder.

    Args:
        store: Leaderboard.
        ticket: Last part of the link.
        now: Current time; tests set it.

    Raises:
        AccessDeniedError: The link is forged or has expired.
    """
    now = now or datetime.now(UTC)
    try:
        kind, name, detail = _serializer(store).loads(ticket)
    except (BadSignature, ValueError, TypeError) as err:
        raise AccessDeniedError("no such video") from err
    if kind == "episode":
        if now.timestamp() >= detail:
            raise AccessDeniedError("this video link has expired; reload the page")
        with store.read() as session:
            episode = session.get(Episode, name)
        if episode is None:
            raise AccessDeniedError("no such video")
        return f"{episode.media_name}.mp4"
    # The link of a pair is valid as long as the pair is reserved, which may be renewed.
    return served_video_name(store, name, detail, now=now)


def served_video_name(
    store: Store, served_id: str, side: str, *, now: datetime | None = None
) -> str:
    """Name in the media folder of one side's video of a served pair.

    Raises:
        AccessDeniedError: There is no such pair or side, or it is no longer reserved.
    """
    now = now or datetime.now(UTC)
    with store.read() as session:
        # All are always looked for, so that the time does not reveal an attention check.
        found = (
            session.get(Assignment, served_id),
            session.get(AttentionCheck, served_id),
            session.scalar(sa.select(ClipShowing).where(ClipShowing.id == served_id)),
        )
        served = next((one for one in found if one is not None), None)
        if served is None or side not in ("left", "right"):
            raise AccessDeniedError("no such video")
        if now >= served.expires:
            raise AccessDeniedError("this pair is no longer reserved; reload the page")
        if isinstance(served, ClipShowing):
            return (served.left if side == "left" else served.right).media_name
        episode = served.left_episode_id if side == "left" else served.right_episode_id
        return f"{session.get_one(Episode, episode).media_name}.mp4"


def _sign(store: Store, kind: str, name: str, detail: str | int) -> str:
    """A ticket: of a pair with the side, of an episode with the time at which the link expires."""
    return str(_serializer(store).dumps([kind, name, detail]))


def _serializer(store: Store) -> URLSafeSerializer:
    return URLSafeSerializer(store_secret(store, "video"), salt="video")
