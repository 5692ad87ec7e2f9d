"""The API does what its OpenAPI description says, for whatever Schemathesis makes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    positive_data_acceptance,
)
from starlette.testclient import TestClient

from leaderboard.http import api
from leaderboard.http.api import create_server
from leaderboard.store.database import Store, open_store
from leaderboard.studies import access
from leaderboard.studies.access import add_admin
from leaderboard.studies.rules import demo_study
from leaderboard.submissions.register import submit_recordings
from tests.support.three_players import SEEDS, unwatched_study

EXAMPLES = 40
"""Number of requests per operation, person and kind (as described, and not)."""

PASSWORD = "correct horse battery"
LEFT_OUT = [ignored_auth, missing_required_header, positive_data_acceptance]
"""Checks of what no description says: who may do what, and which names are printable; these rules have tests."""


@pytest.fixture
def store(tmp_path: Path, agents: dict[str, Path]) -> Iterator[Store]:
    opened = open_store(tmp_path / "leaderboard.sqlite")
    study = unwatched_study(opened, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    for folder in agents.values():
        submit_recordings(opened, study, folder)
    add_admin(opened, "ada", password=PASSWORD)
    yield opened
    opened.close()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("person", ["stranger", "rater", "admin"])
def test_every_response_is_as_described(
    store: Store, monkeypatch: pytest.MonkeyPatch, person: str
) -> None:
    # Otherwise nearly all responses would be 429.
    monkeypatch.setattr(access, "throttle", lambda *_: None)
    monkeypatch.setattr(api, "throttle", lambda *_: None)
    monkeypatch.setattr("leaderboard.http.limits.throttle", lambda *_: None)
    server = create_server(store)
    with TestClient(server) as client:
        headers = None
        if person != "stranger":
            login = {"name": "ada", "password": PASSWORD}
            path, body = ("admin/login", login) if person == "admin" else ("studies/small/join", {})
            secret = client.post(f"/api/{path}", json=body).json()["secret"]
            headers = {"Authorization": f"Bearer {secret}"}
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", server)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 12
    wrong: list[str] = []
    for operation in operations:
        if operation.path == "/me" and operation.method == "delete":
            continue  # ends the rater that the others are asked by
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                deadline=None, max_examples=EXAMPLES, database=None,
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(
                case=operation.as_strategy(generation_mode=mode, headers=headers),
                # A negated name stays as it is.
                known=st.booleans() if mode is GenerationMode.POSITIVE else st.just(False),
            )
            def conforms(case: schemathesis.Case, known: bool) -> None:
                if known and "study" in (case.path_parameters or {}):
                    case.path_parameters["study"] = "small"
                case.call_and_validate(excluded_checks=LEFT_OUT)

            try:
                conforms()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # an operation that takes nothing
            except BaseExceptionGroup as found:  # the failures of one operation, by Schemathesis
                wrong.append(f"{operation.label}, {mode.value}: {found}")
    assert not wrong, "\n\n".join(wrong)
