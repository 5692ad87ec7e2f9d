"""The server of the app: Streamlit's pages, and the videos beside them.

Videos are sent from disk with range requests, so a browser can seek; Streamlit's own media store would
hold whole files in memory. Their address is that of a reserved pair (``/video/PAIR/left``): it tells
nothing of the episode, cannot be guessed, and expires with the reservation.
"""

from pathlib import Path

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from streamlit.starlette import App

from basalt.errors import StudyError
from eval_ui.rater import RaterCookie
from eval_ui.store_access import the_store
from leaderboard.videos import served_video


def video(request: Request) -> Response:
    """One side of a reserved pair, whole or in ranges."""
    try:
        path = served_video(
            the_store(), request.path_params["assignment"], request.path_params["side"]
        )
    except StudyError as err:
        return PlainTextResponse(str(err), status_code=404)
    if not path.is_file():
        return PlainTextResponse("the video is missing from the media folder", status_code=404)
    headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, media_type="video/mp4", headers=headers)


app = App(
    Path(__file__).resolve().with_name("main.py"),
    routes=[Route("/video/{assignment}/{side}", video)],
    middleware=[Middleware(RaterCookie)],
)
