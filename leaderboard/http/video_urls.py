"""Addresses of videos: opaque, signed by the store, and good for a while.

An address holds an id that tells nothing, the side and the end of its time; the agent's name stands
neither in it, nor in the file's name, nor in the file. Whoever has the address may see the video, so it
can be given to a browser's player, which sends no header of its own.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from itsdangerous import BadSignature, URLSafeSerializer

from leaderboard.store.database import Store
from leaderboard.store.models import Assignment, Check, Episode
from leaderboard.studies.access import AccessDeniedError, store_secret

VIDEO_PATH = "/api/video"
"""Where :mod:`leaderboard.http.api` serves videos, mounted at ``/api``: ``/api/video/TICKET``."""

EPISODE_HOURS = 6
"""How long the address of a browsed episode is good."""


@dataclass(frozen=True)
class PairVideos:
    """Addresses of a served pair's videos, from the server's root."""

    left: str
    right: str


def pair_videos(store: Store, served_id: str) -> PairVideos:
    """Addresses of both videos of a served pair, good as long as it is reserved."""
    with store.read() as session:
        _, _, expires = _sides(session.get(Assignment, served_id) or session.get(Check, served_id))
    return PairVideos(
        *(f"{VIDEO_PATH}/{_sign(store, 'pair', served_id, side, expires)}" for side in "lr")
    )


def episode_video(store: Store, episode_id: str, *, now: datetime | None = None) -> str:
    """Address of an episode's video for browsing; give it only to who may see it."""
    expires = (now or datetime.now(UTC)) + timedelta(hours=EPISODE_HOURS)
    return f"{VIDEO_PATH}/{_sign(store, 'episode', episode_id, '', expires)}"


def video_of_ticket(store: Store, ticket: str, *, now: datetime | None = None) -> str:
    """Name of the video in the media folder that an address stands for.

    Args:
        store: the leaderboard.
        ticket: the last part of the address.
        now: the time, for tests.

    Raises:
        AccessDeniedError: forged, or its time is over.
    """
    now = now or datetime.now(UTC)
    try:
        kind, name, side, until = _serializer(store).loads(ticket)
    except (BadSignature, ValueError, TypeError) as err:
        raise AccessDeniedError("no such video") from err
    if now.timestamp() >= until:
        raise AccessDeniedError("the address of this video is over; load the page again")
    if kind == "episode":
        with store.read() as session:
            episode = session.get(Episode, name)
        if episode is None:
            raise AccessDeniedError("no such video")
        return f"{episode.media_name}.mp4"
    return served_video_name(store, name, "left" if side == "l" else "right", now=now)


def served_video_name(store: Store, served_id: str, side: str, *, now: datetime) -> str:
    """Name in the media folder of one side of a served pair, as long as it is reserved.

    Raises:
        AccessDeniedError: no such pair or side, or its time is over.
    """
    with store.read() as session:
        served = session.get(Assignment, served_id) or session.get(Check, served_id)
        left, right, expires = _sides(served)
        if side not in ("left", "right"):
            raise AccessDeniedError("no such video")
        if now >= expires:
            raise AccessDeniedError("this pair is no longer reserved; load the page again")
        return f"{session.get_one(Episode, left if side == 'left' else right).media_name}.mp4"


def served_video(store: Store, served_id: str, side: str, *, now: datetime | None = None) -> Path:
    """The video file of one side of a served pair, as long as the pair is reserved.

    Raises:
        AccessDeniedError: no such pair or side, or its time is over.
    """
    return store.media_file(served_video_name(store, served_id, side, now=now or datetime.now(UTC)))


def _sides(served: Assignment | Check | None) -> tuple[str, str, datetime]:
    if served is None:
        raise AccessDeniedError("no such video")
    return served.left_episode_id, served.right_episode_id, served.expires


def _sign(store: Store, kind: str, name: str, side: str, expires: datetime) -> str:
    return str(_serializer(store).dumps([kind, name, side, int(expires.timestamp())]))


def _serializer(store: Store) -> URLSafeSerializer:
    return URLSafeSerializer(store_secret(store, "video"), salt="video")
