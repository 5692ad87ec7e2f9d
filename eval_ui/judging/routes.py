"""The HTTP route of what raters do on the pages for judging (`eval_ui.judging.acts`)."""

from dataclasses import asdict

from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from basalt.io.errors import BasaltError, StudyError
from basalt.io.untrusted import parse_json, unfit
from eval_ui.json_requests import is_from_this_site, read_json
from eval_ui.judging.acts import ACTS, Reply, holder_of_ticket, perform
from eval_ui.store_access import the_store
from leaderboard.http.faults import FAULTS, unavailable
from leaderboard.http.limits import REQUESTS_PER_MINUTE, too_many
from leaderboard.http.media import MAX_BODY
from leaderboard.studies.access import TooManyRequestsError, throttle

ACT_PATH = "/judging/act"


class _Envelope(BaseModel):
    """The part of each request that says whose it is."""

    ticket: str = Field(max_length=500)


async def act(request: Request) -> Response:
    """Carry out what a rater did. The same request sent twice counts once; after 429 and 503 it is sent again."""
    if not is_from_this_site(request):
        return JSONResponse({"detail": "judge on the page itself"}, status_code=403)
    body = await read_json(request, MAX_BODY)
    if isinstance(body, Response):
        return body
    try:
        sent = parse_json(body)
        if fault := unfit(sent):
            return _malformed(fault)
        ticket, acted = _Envelope.model_validate(sent).ticket, ACTS.validate_python(sent)
    except ValidationError as err:
        return _malformed(".".join(str(part) for part in err.errors()[0]["loc"]) or "act")
    except ValueError:
        return _malformed("expected JSON")

    def carried_out() -> Reply:
        store = the_store()
        study, rater = holder_of_ticket(store, ticket)
        throttle("requests", f"rater {rater}", REQUESTS_PER_MINUTE)
        return perform(store, study, rater, acted)

    try:
        return JSONResponse(asdict(await run_in_threadpool(carried_out)))
    except TooManyRequestsError as err:
        return too_many(err)
    except FAULTS as err:
        return unavailable(err)
    except BasaltError as err:
        code = err.code if isinstance(err, StudyError) else ""
        return JSONResponse({"detail": str(err), "code": code}, status_code=403)


ROUTES = [Route(ACT_PATH, act, methods=["POST"])]


def _malformed(what: str) -> Response:
    return JSONResponse({"detail": f"not saved, malformed: {what}"}, status_code=422)
