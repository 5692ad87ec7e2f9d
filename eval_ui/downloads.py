"""Exports for admins: files under signed URLs that expire after minutes.

Only admins are shown such a URL, but anyone who has it can fetch the file, so it is short-lived.
"""

import tempfile
from pathlib import Path

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from basalt.core.comparisons import write_comparisons
from basalt.io.errors import BasaltError
from eval_ui.store_access import the_store
from leaderboard.bedd.study import export_bedd
from leaderboard.judging.archive import write_archive
from leaderboard.judging.payments import payment_list, write_payments
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.html_report import write_page
from leaderboard.ratings.ranking import rate
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity, command_line_admin, store_secret
from leaderboard.studies.export import iter_comparisons, load_comparisons
from leaderboard.studies.rules import StudyInfo, get_study
from leaderboard.submissions.episodes import replayed, uncompared

PATH = "/export"
GOOD_SECONDS = 900

FILES = {
    "judgments.csv": "One row per judgment, for a spreadsheet",
    "judgments.parquet": "The same with column types, for pandas and reward models",
    "judgments.json": "The same as a list of objects",
    "leaderboard.html": "The leaderboard as a single page for any web server",
    "human_answers.json": "Wins, losses and draws in the format of the BEDD evaluation data set",
    "study.zip": "Everything that was asked, as tables with a data dictionary: answers to questions, checks, raters, audit "
    "events, watched shares; withdrawn answers and banned raters are marked",
    "payments.csv": "One row per rater, for paying: the platform's IDs, outcome, minutes active and code",
}
"""File names and descriptions. Raters appear under pseudonyms only, except in the list of payments."""


def download_address(store: Store, study: StudyInfo, admin: AdminIdentity, file: str) -> str:
    """Signed URL of one of `FILES`, valid for `GOOD_SECONDS`."""
    return f"{PATH}/{_serializer(store).dumps([study.id, file])}/{file}"


async def download(request: Request) -> Response:
    """Make the file of a signed URL and send it."""
    store = the_store()
    try:
        study_id, file = _serializer(store).loads(
            request.path_params["ticket"], max_age=GOOD_SECONDS
        )
    except (BadData, ValueError, TypeError):
        return PlainTextResponse(
            "This download link has expired. Reload the page.", status_code=403
        )
    if file != request.path_params["file"] or file not in FILES:
        return PlainTextResponse("This file does not exist.", status_code=404)
    path = Path(tempfile.mkdtemp(prefix="basalt-export-")) / file
    try:
        await run_in_threadpool(_write, store, study_id, path)
    except (BasaltError, OSError) as err:  # OSError: the disk is full
        _remove(path)
        return PlainTextResponse(str(err), status_code=409)
    return FileResponse(
        path,
        filename=file,
        headers={"Cache-Control": "no-store"},
        background=BackgroundTask(_remove, path),
    )


ROUTES = [Route(f"{PATH}/{{ticket}}/{{file}}", download)]


def _write(store: Store, study_id: str, path: Path) -> None:
    study = get_study(store, study_id)
    if path.suffix == ".html":
        comparisons = load_comparisons(store, study)
        analyses = [analyse(table) for table in rate(comparisons)]
        confirmed = replayed(store, study)
        waiting = uncompared(confirmed, comparisons)
        write_page(path, study.name, analyses, confirmed, waiting)
    elif path.name == "human_answers.json":
        export_bedd(path, store, study, "human")
    elif path.name == "study.zip":
        write_archive(path, store, study, command_line_admin())
    elif path.name == "payments.csv":
        # The link was signed for an admin.
        write_payments(path, payment_list(store, study, command_line_admin()))
    else:
        write_comparisons(path, iter_comparisons(store, study))


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.rmdir()


def _serializer(store: Store) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(store_secret(store, "export"), salt="export")
