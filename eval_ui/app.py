"""The app's server: Streamlit's pages, and next to them the API, the videos and the login.

The API sends videos by range requests, so a browser can seek; Streamlit's own media store would hold whole
files in memory. Everything has one origin, so cookies stay on it and one address is enough.
"""

import gc
from pathlib import Path

from starlette.middleware import Middleware
from starlette.routing import Mount
from streamlit.starlette import App

# Imported now, so that the first rater does not wait for it.
from eval_ui import charts, downloads, watch  # noqa: F401
from eval_ui.compressed import CompressedStatics
from eval_ui.index_page import StyledIndex
from eval_ui.judging import pair_judging  # noqa: F401
from eval_ui.judging import routes as judging
from eval_ui.login import routes as login
from eval_ui.page_headers import StrictPages
from eval_ui.session import RaterCookie
from eval_ui.store_access import the_store
from eval_ui.study_admin import sections  # noqa: F401
from leaderboard.http.api import create_app
from leaderboard.http.faults import ServerFaults
from leaderboard.http.limits import AddressLimit

SERVED = [Mount("/api", create_app(the_store)), *login.ROUTES, *judging.ROUTES, *downloads.ROUTES]
"""Routes that are served next to Streamlit's own."""

MIDDLEWARE = [
    Middleware(StrictPages),
    Middleware(ServerFaults),
    # The API counts its own requests; Streamlit's scripts and styles cost little, and a page has many.
    Middleware(AddressLimit, uncounted=["/api/", "/static/"]),
    Middleware(RaterCookie),
    Middleware(CompressedStatics),
    Middleware(StyledIndex),
]
"""What every request passes, the first one first."""

app = App(
    Path(__file__).resolve().with_name("main.py"),
    routes=SERVED,
    middleware=MIDDLEWARE,
)

# Streamlit runs the garbage collector after every script run. Scanning all modules each time took two
# thirds of the CPU time, and modules are never freed anyway.
gc.collect()
gc.freeze()
