"""The leaderboard over HTTP, for other front ends and crowd platforms; described by OpenAPI.

The rules are decided in `leaderboard.judging`, for the app and the API alike. Raters and admins send their
secret as a bearer token. Mount the app at `/api` as `create_server` does: video links start with it.
"""

from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

import basalt
from basalt.core.comparisons import Source
from basalt.core.tasks import get_task
from basalt.io.errors import BasaltError, ConfigError, StudyError
from basalt.io.untrusted import unfit
from leaderboard.http import models as shapes
from leaderboard.http.faults import FAULTS, ServerFaults, malformed, unavailable
from leaderboard.http.limits import (
    ADDRESS_REQUESTS_PER_MINUTE,
    JOINS_PER_MINUTE,
    REQUESTS_PER_MINUTE,
    AddressLimit,
    address_of,
    log_in_from,
    too_many,
)
from leaderboard.http.media import BodyLimit, video_response
from leaderboard.http.video_urls import pair_videos, video_of_ticket
from leaderboard.judging.assignments import ServedPair, next_pair
from leaderboard.judging.invites import study_of_invite
from leaderboard.judging.judgments import (
    AnswerRefusedError,
    answer_pair,
    study_of_pair,
    undo_last,
)
from leaderboard.judging.quality import RaterReport, StudyQuality, rater_reports, study_quality
from leaderboard.judging.rater_view import rater_view, studies_for_rater
from leaderboard.judging.raters import (
    denied,
    erase,
    find_rater,
    join,
    new_rater_secret,
    outcome_of,
    rater_status,
)
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.models import RATING_MODELS, default_model
from leaderboard.ratings.ranking import rate
from leaderboard.ratings.tables import table_records
from leaderboard.store.database import Store
from leaderboard.studies.access import (
    AccessDeniedError,
    AdminIdentity,
    TooManyRequestsError,
    admin_of_session,
    is_secret,
    throttle,
)
from leaderboard.studies.events import ban, unban
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, list_studies
from leaderboard.studies.settings import Ending, get_settings, read_settings
from leaderboard.studies.tokens import admin_of_token
from leaderboard.submissions.episodes import replayed

DESCRIPTION = (
    "Judge pairs of episodes, and read the ratings. The rules are the same as in the app. Raters and admins "
    "send their secret as a bearer token."
)
"""Description of the API in its OpenAPI document."""

StoreSource = Store | Callable[[], Store]

_bearer = HTTPBearer(auto_error=False)


def create_app(
    store: StoreSource,
    *,
    joins_per_minute: int = JOINS_PER_MINUTE,
    requests_per_minute: int = ADDRESS_REQUESTS_PER_MINUTE,
) -> FastAPI:
    """The API, to be mounted at `/api`.

    Args:
        store: Leaderboard, or a function that returns it when it is needed.
        joins_per_minute: Maximum number of new raters from one address; behind a proxy that the server does
            not know, all raters have the proxy's address.
        requests_per_minute: Maximum number of requests from one address.
    """
    app = FastAPI(
        title="BASALT leaderboard",
        version=basalt.__version__,
        description=DESCRIPTION,
        # These pages would load scripts from another site; the description is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(ServerFaults),
            Middleware(AddressLimit, per_minute=requests_per_minute),
            Middleware(BodyLimit),
        ],
    )
    app.state.store = store if callable(store) else lambda: store
    app.state.joins_per_minute = joins_per_minute
    app.include_router(_router)
    app.include_router(_videos)
    app.add_exception_handler(BasaltError, _refuse)
    app.add_exception_handler(RequestValidationError, malformed)
    return app


def create_server(
    store: StoreSource,
    *,
    origins: Sequence[str] = (),
    joins_per_minute: int = JOINS_PER_MINUTE,
    requests_per_minute: int = ADDRESS_REQUESTS_PER_MINUTE,
) -> Starlette:
    """A server of the API alone, as `basalt leaderboard serve` runs it.

    Args:
        store: Leaderboard, or a function that returns it when it is needed.
        origins: Sites whose pages may call the API (CORS).
        joins_per_minute: Maximum number of new raters from one address.
        requests_per_minute: Maximum number of requests from one address.
    """
    api = create_app(
        store, joins_per_minute=joins_per_minute, requests_per_minute=requests_per_minute
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        yield
        if isinstance(store, Store):
            store.close()

    return Starlette(
        routes=[Mount("/api", api)],
        lifespan=lifespan,
        exception_handlers={404: _no_such_address},
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Range"],
                expose_headers=["Content-Range", "Accept-Ranges", "Content-Length"],
            )
        ],
    )


async def _no_such_address(request: Request, err: Exception) -> Response:
    return JSONResponse({"detail": "Not Found"}, 404)


async def _refuse(request: Request, err: Exception) -> Response:
    if isinstance(err, FAULTS):
        return unavailable(err)
    if isinstance(err, TooManyRequestsError):
        return too_many(err)
    status = 400
    if isinstance(err, AccessDeniedError):
        status = 403
    elif isinstance(err, AnswerRefusedError):
        status = 409
    return JSONResponse({"detail": str(err)}, status)


def _the_store(request: Request) -> Store:
    return request.app.state.store()


StoreArg = Annotated[Store, Depends(_the_store)]
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


@dataclass(frozen=True)
class _Caller:
    """Who sends a request, by its secret; a stranger is neither rater nor admin."""

    rater: str | None = None
    admin: AdminIdentity | None = None


def _the_caller(request: Request, store: StoreArg, credentials: Credentials) -> _Caller:
    """Who sends a request; each person's requests are counted together, and those of an address's strangers."""
    caller = _caller_of(store, credentials.credentials if credentials else "")
    if caller.admin is not None:
        throttle("requests", f"admin {caller.admin.id}", REQUESTS_PER_MINUTE)
    elif caller.rater is not None:
        throttle("requests", f"rater {caller.rater}", REQUESTS_PER_MINUTE)
    else:
        throttle("requests", f"from {address_of(request.scope)}", REQUESTS_PER_MINUTE)
    return caller


def _caller_of(store: Store, secret: str) -> _Caller:
    if not is_secret(secret):
        return _Caller()
    with suppress(AccessDeniedError):
        return _Caller(rater=find_rater(store, secret))
    for admin_of in (admin_of_session, admin_of_token):
        with suppress(AccessDeniedError):
            return _Caller(admin=admin_of(store, secret))
    return _Caller()


def _readable(request: Request) -> None:
    """Refuse what no database takes as a text; bodies are checked by `leaderboard.http.models`."""
    if fault := unfit([request.path_params, *request.query_params.multi_items()]):
        raise ConfigError(f"address: {fault}")


def _the_study(
    store: StoreArg, study: Annotated[str, Path(max_length=100, description="name")]
) -> StudyInfo:
    found = next((one for one in list_studies(store) if one.name == study), None)
    if found is None:  # without the names of the others, which may be private
        raise StudyError("there is no study of that name")
    return found


CallerArg = Annotated[_Caller, Depends(_the_caller)]


def _the_rater(caller: CallerArg, credentials: Credentials) -> str:
    if credentials is None:
        raise AccessDeniedError("missing secret; send the header Authorization: Bearer SECRET")
    if caller.rater is None:
        raise AccessDeniedError("unknown rater; join the study first")
    return caller.rater


def _the_rater_here(
    store: StoreArg, study: "StudyArg", caller: CallerArg, credentials: Credentials
) -> str:
    """The rater who uses the sender's secret in the study of the address."""
    _the_rater(caller, credentials)
    assert credentials is not None
    return find_rater(store, credentials.credentials, study.id)


def _the_admin(caller: CallerArg) -> AdminIdentity:
    if caller.admin is None:
        raise AccessDeniedError("log in as an admin first")
    return caller.admin


StudyArg = Annotated[StudyInfo, Depends(_the_study)]
RaterArg = Annotated[str, Depends(_the_rater)]
RaterHereArg = Annotated[str, Depends(_the_rater_here)]
AdminArg = Annotated[AdminIdentity, Depends(_the_admin)]

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": shapes.Refusal, "description": meaning}
    for status, meaning in (
        (400, "There is no such study, or a value is not valid"),
        (403, "The sender may not see or do this"),
        (404, "There is no such address"),
        (409, "An answer that is not taken, and why"),
        (413, "The body is too large"),
        (429, "Too many requests; try again after `Retry-After` seconds"),
        (503, "The server is at fault; send the same request again after `Retry-After` seconds"),
    )
}

_NO_SECRET: dict[str, Any] = {"security": [{}]}
"""For the description: a request does not need a secret."""

_router = APIRouter(dependencies=[Depends(_the_caller), Depends(_readable)], responses=_REFUSALS)
# A video's link is its secret, and players ask for many parts: counted by address alone.
_videos = APIRouter(dependencies=[Depends(_readable)], responses=_REFUSALS)


@_router.get("/studies", tags=["study"], openapi_extra=_NO_SECRET)
def studies(
    store: StoreArg, caller: CallerArg, credentials: Credentials
) -> list[shapes.StudySummary]:
    """The studies that are open, show their results or were joined, the newest first; all for admins."""
    return [_summary(store, study) for study in _visible(store, caller, credentials)]


@_router.get("/studies/{study}", tags=["study"], openapi_extra=_NO_SECRET)
def study_details(
    store: StoreArg,
    study: StudyArg,
    caller: CallerArg,
    credentials: Credentials,
    invite: Annotated[
        str | None, Query(max_length=100, description="token of an invite, before joining")
    ] = None,
) -> shapes.StudyDetails:
    """Instructions, consent text and questions of a study; by invitation only if it is not listed."""
    invited = study_of_invite(store, invite) if invite and is_secret(invite) else None
    known = [*_visible(store, caller, credentials), *([invited] if invited else [])]
    if study.id not in {one.id for one in known}:
        raise denied("invite")
    settings = get_settings(store, study)
    return shapes.StudyDetails(
        **_summary(store, study).model_dump(),
        consent=settings.consent,
        instructions=settings.instructions,
        qualification_pairs=settings.qualification_pairs,
        watch_share=settings.watch_share,
        reason_characters=settings.reason_characters,
        scale=settings.scale,
        undo_seconds=settings.undo_seconds,
        questions={
            name: shapes.TaskQuestions(
                title=get_task(name).title,
                instruction=get_task(name).instruction,
                direct=list((settings.questions or get_task(name).questions).direct),
                comparative=list((settings.questions or get_task(name).questions).comparative),
            )
            for name in study.rules.tasks
        },
    )


@_router.post("/studies/{study}/join", tags=["rater"], openapi_extra=_NO_SECRET)
def join_study(
    request: Request,
    store: StoreArg,
    study: StudyArg,
    body: shapes.JoinRequest,
    caller: CallerArg,
    credentials: Credentials,
) -> shapes.Joined:
    """Join, or add consent. Without a bearer token a new rater is made: keep the returned secret."""
    if credentials is None:
        throttle("joins", address_of(request.scope), request.app.state.joins_per_minute)
        secret = new_rater_secret(store)
    elif caller.rater is None:
        raise AccessDeniedError("unknown secret; join without one, and keep the secret you get")
    else:
        secret = credentials.credentials
    rater = join(store, study, secret, **body.model_dump())
    return shapes.Joined(secret=secret, rater=rater, state=rater_status(store, study, rater).state)


@_router.get("/studies/{study}/me", tags=["rater"])
def me(store: StoreArg, study: StudyArg, rater: RaterHereArg) -> shapes.Me:
    """State and progress of the rater."""
    view = rater_view(store, study, rater)
    ending = view.ending or Ending()
    return shapes.Me(
        rater=rater,
        state=view.status.state,
        done=view.status.answered,
        total=view.total,
        skipped=view.status.skipped,
        skips_left=view.status.skips_left,
        qualification_answered=view.status.qualification.answered,
        qualification_pairs=view.status.qualification.pairs,
        undoable_until=view.undoable_until,
        held=view.status.held,
        outcome=outcome_of(view.status),
        completion_code=ending.code or None,
        completion_url=ending.address or None,
    )


@_router.post("/studies/{study}/next", tags=["rater"])
def next_to_judge(store: StoreArg, study: StudyArg, rater: RaterHereArg) -> shapes.Pair | None:
    """Reserve the next pair; null when the rater is done. Until it is answered, it stays the same."""
    pair = next_pair(store, study, rater)
    return None if pair is None else _shown(store, pair)


@_router.post("/answers", tags=["rater"])
def answer(
    store: StoreArg, rater: RaterArg, credentials: Credentials, body: shapes.AnswerRequest
) -> shapes.Answered:
    """Answer a reserved pair. The answer is durable when this returns; sent twice, it counts once."""
    if credentials is not None and (study := study_of_pair(store, body.pair)) is not None:
        rater = find_rater(store, credentials.credentials, study)
        if body.responses is not None:
            with store.read() as session:
                own = read_settings(session, study).questions
            shapes.require_known_questions(body.responses, own)
    watched = None
    if body.watched_left is not None and body.watched_right is not None:
        watched = (body.watched_left, body.watched_right)
    done = answer_pair(
        store,
        body.pair,
        rater,
        body.winner,
        justification=body.justification,
        responses=body.responses.model_dump() if body.responses else None,
        video_events=body.video_events,
        watched=watched,
        skip_reason=body.skip_reason,
        strength=body.strength,
    )
    return shapes.Answered.model_validate({"answer": done.id, "feedback": done.feedback})


@_router.post("/studies/{study}/undo", tags=["rater"])
def undo(store: StoreArg, study: StudyArg, rater: RaterHereArg) -> shapes.Pair:
    """Withdraw the last answer; its pair is served again."""
    return _shown(store, undo_last(store, study, rater))


@_router.delete("/me", tags=["rater"], status_code=204)
def forget_me(store: StoreArg, rater: RaterArg) -> None:
    """Erase the rater's personal data: name, secret, platform id and written reasons. The votes stay."""
    erase(store, rater)


@_router.get("/studies/{study}/scores", tags=["study"], openapi_extra=_NO_SECRET)
def scores(
    store: StoreArg,
    study: StudyArg,
    caller: CallerArg,
    source: Annotated[
        Source | None, Query(description="use only judgments from this source")
    ] = None,
    model: Annotated[
        str | None,
        Query(
            description="rating model of the tables; `bt`, or `ordinal` where answers say how much better a side is",
            max_length=100,
        ),
    ] = None,
) -> list[dict[str, Any]]:
    """The score tables, one record per row; for admins only while the study hides results or checks raters.

    The records are those of `show --json --replicates 0`.
    """
    if not get_settings(store, study).raters_see_results:
        _the_admin(caller)
    comparisons = load_comparisons(store, study, [source] if source else None)
    tables = rate(comparisons, model=RATING_MODELS.get(model or default_model(comparisons)))
    analyses = [analyse(table, replicates=0) for table in tables]
    return table_records(analyses, replayed(store, study))


@_videos.head("/video/{ticket}", tags=["rater"], response_class=Response)
@_videos.get("/video/{ticket}", tags=["rater"], response_class=Response)
def video(
    request: Request, store: StoreArg, ticket: Annotated[str, Path(max_length=500)]
) -> Response:
    """A video, whole or in ranges, by the link that came with its pair."""
    name = video_of_ticket(store, ticket)
    head = request.method == "HEAD"
    return video_response(store, ticket, name, request.headers.get("range"), head=head)


@_router.post("/admin/login", tags=["admin"], openapi_extra=_NO_SECRET)
async def admin_login(
    request: Request, store: StoreArg, body: shapes.LoginRequest
) -> shapes.LoggedIn:
    """Log in as an admin; send the returned secret as bearer token."""
    address = address_of(request.scope)
    return shapes.LoggedIn(secret=await log_in_from(store, body.name, body.password, address))


@_router.get("/studies/{study}/raters", tags=["admin"])
def raters(store: StoreArg, study: StudyArg, admin: AdminArg) -> list[RaterReport]:
    """All raters with their attention checks and biases."""
    return rater_reports(store, study, admin)


@_router.get("/studies/{study}/quality", tags=["admin"])
def quality(store: StoreArg, study: StudyArg, admin: AdminArg) -> StudyQuality:
    """Agreement and biases of the judgments by people."""
    return study_quality(store, study)


@_router.post("/studies/{study}/raters/{rater_id}/ban", tags=["admin"], status_code=204)
def ban_rater(
    store: StoreArg, study: StudyArg, admin: AdminArg, rater_id: str, body: shapes.Reason
) -> None:
    """Take a rater's judgments out of the ratings; nothing is deleted."""
    ban(store, study, admin, rater_id, body.reason)


@_router.post("/studies/{study}/raters/{rater_id}/unban", tags=["admin"], status_code=204)
def unban_rater(
    store: StoreArg, study: StudyArg, admin: AdminArg, rater_id: str, body: shapes.Reason
) -> None:
    """Undo a ban."""
    unban(store, study, admin, rater_id, body.reason)


def _visible(
    store: Store, caller: _Caller, credentials: HTTPAuthorizationCredentials | None
) -> list[StudyInfo]:
    """Studies that the sender of a request may know of."""
    if caller.admin is not None:
        return list_studies(store)
    return studies_for_rater(store, credentials.credentials if credentials else "")


def _summary(store: Store, study: StudyInfo) -> shapes.StudySummary:
    return shapes.StudySummary(
        name=study.name,
        world=study.rules.world,
        world_version=study.rules.version_text,
        tasks=list(study.rules.tasks),
        takes_people="human" in study.rules.sources,
        open_signup=get_settings(store, study).open_signup,
    )


def _shown(store: Store, pair: ServedPair) -> shapes.Pair:
    videos = pair_videos(store, pair)
    return shapes.Pair(
        pair=pair.assignment_id,
        task=pair.task,
        steps_left=pair.steps[0],
        steps_right=pair.steps[1],
        left=videos.left,
        right=videos.right,
        expires=pair.expires,
        qualification=pair.qualification,
    )
