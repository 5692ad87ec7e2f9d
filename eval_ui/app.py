"""The server of the app: Streamlit's pages, and beside them the API, the videos and the login.

Videos are sent by the API with range requests, so a browser can seek; Streamlit's own media store would
hold whole files in memory. Everything is of one origin: cookies stay here, and one address is enough.
"""

from pathlib import Path

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from streamlit.starlette import App

from basalt.errors import BasaltError
from eval_ui import downloads, login
from eval_ui.session import RaterCookie
from eval_ui.store_access import the_store
from leaderboard.videos import VIDEO_PATH, video_of_ticket


def video(request: Request) -> Response:
    """A video by its signed address, whole or in ranges."""
    store = the_store()
    try:
        path = store.media / video_of_ticket(store, request.path_params["ticket"])
    except BasaltError as err:
        return PlainTextResponse(str(err), status_code=404)
    if not path.is_file():
        return PlainTextResponse("the video is missing from the media folder", status_code=404)
    headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, media_type="video/mp4", headers=headers)


SERVED = [Route(f"{VIDEO_PATH}/{{ticket}}", video), *login.ROUTES, *downloads.ROUTES]
"""What is served beside Streamlit's own addresses."""

app = App(
    Path(__file__).resolve().with_name("main.py"),
    routes=SERVED,
    middleware=[Middleware(RaterCookie)],
)
