"""API tokens, and admins who may only read: nothing that changes a study can forget to refuse them."""

import importlib
import inspect
import pkgutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

import leaderboard
from basalt.cli.leaderboard import leaderboard_main
from basalt.io.errors import StudyError
from leaderboard.http.api import create_app
from leaderboard.judging.raters import join
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import ApiToken
from leaderboard.studies.access import (
    AccessDeniedError,
    AdminIdentity,
    add_admin,
    admin_of_password,
    command_line_admin,
    hash_secret,
    remove_admin,
)
from leaderboard.studies.events import ban
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.tokens import admin_of_token, create_token, list_tokens, revoke_token

ADMIN = command_line_admin()
PASSWORD = "correct horse battery"
READERS = {
    "browser_requests", "gold_in_use", "history", "list_gold_pairs", "list_invites", "list_tokens", "payment_list",
    "rater_answers", "rater_of_code", "rater_reports", "read_funnel", "read_targets", "start_session", "write_archive",
}  # fmt: skip
"""Functions that take an admin and change nothing that belongs to a study."""


def functions_for_admins() -> dict[str, object]:
    """The public functions of the package that take an admin, by name."""
    found = {}
    for module in pkgutil.walk_packages(leaderboard.__path__, "leaderboard."):
        if ".migrations" in module.name:
            continue
        loaded = importlib.import_module(module.name)
        for name, function in inspect.getmembers(loaded, inspect.isfunction):
            own = function.__module__ == module.name and not name.startswith("_")
            takes = "admin" in inspect.signature(function).parameters
            if own and takes and ".http." not in module.name:
                found[name] = function
    return found


def test_each_function_for_admins_is_known_to_read_or_refuses_who_may_only_read() -> None:
    everything = functions_for_admins()
    assert {"ban", "change_settings", "create_invite", "delete_study"} <= set(everything)
    reader = AdminIdentity("id", "ada", read_only=True)
    for name, function in everything.items():
        if name in READERS:
            continue
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
        needed = {
            one.name: None
            for one in parameters
            if one.default is one.empty and one.kind is not one.VAR_KEYWORD
        }
        with pytest.raises(AccessDeniedError, match="read-only"):
            function(**needed | {"admin": reader})  # type: ignore[operator]


def test_a_read_only_admin_looks_and_changes_nothing(store: Store, study: StudyInfo) -> None:
    add_admin(store, "ada", password=PASSWORD, read_only=True)
    reader = admin_of_password(store, "ada", PASSWORD)
    assert reader.read_only
    rater = join(store, study, "bob")
    with pytest.raises(AccessDeniedError, match="'ada' is read-only"):
        ban(store, study, reader, rater, "too fast")
    add_admin(store, "ada", password="another long password")
    assert admin_of_password(store, "ada", "another long password").read_only  # as it was
    add_admin(store, "ada", read_only=False)
    ban(store, study, admin_of_password(store, "ada", "another long password"), rater, "too fast")


def test_a_token_acts_for_its_admin_until_it_ends(store: Store, study: StudyInfo) -> None:
    add_admin(store, "ada", password=PASSWORD)
    ada = admin_of_password(store, "ada", PASSWORD)
    full = create_token(store, ada, "ada", "notebook")
    reading = create_token(store, ada, "ada", "dashboard", read_only=True, days=1)
    with store.read() as session:
        kept = {one.token_sha256 for one in session.scalars(sa.select(ApiToken))}
    assert kept == {hash_secret(full), hash_secret(reading)}
    rater = join(store, study, "bob")

    api = TestClient(create_app(store), raise_server_exceptions=False)

    def ban_by(token: str) -> int:
        send = {"json": {"reason": "too fast"}, "headers": {"Authorization": f"Bearer {token}"}}
        return api.post(f"/studies/{study.name}/raters/{rater}/ban", **send).status_code  # type: ignore[arg-type]

    def raters_by(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return api.get(f"/studies/{study.name}/raters", headers=headers).status_code

    assert (raters_by(reading), ban_by(reading)) == (200, 403)
    assert (raters_by(full), ban_by(full)) == (200, 204)
    assert raters_by("x" * 43) == 403
    later = datetime.now(UTC) + timedelta(days=2)
    with pytest.raises(AccessDeniedError, match="expired"):
        admin_of_token(store, reading, now=later)
    assert admin_of_token(store, full, now=later).name == "ada"

    add_admin(store, "eve", password=PASSWORD)
    eve = admin_of_password(store, "eve", PASSWORD)
    assert list_tokens(store, eve) == []
    with pytest.raises(AccessDeniedError, match="this account only"):
        create_token(store, eve, "ada", "not mine")
    (mine, *_) = [one for one in list_tokens(store, ada) if one.label == "notebook"]
    with pytest.raises(StudyError, match="no such token"):
        revoke_token(store, eve, mine.id)
    revoke_token(store, ada, mine.id)
    assert raters_by(full) == 403
    add_admin(store, "ada", read_only=True)  # the other token loses its rights, too
    assert admin_of_token(store, reading).read_only
    remove_admin(store, "ada")
    assert raters_by(reading) == 403


def test_tokens_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "leaderboard.sqlite")
    store = open_store(place)
    add_admin(store, "ada", password=PASSWORD)

    def token(*arguments: str) -> str:
        assert leaderboard_main(["token", *arguments, "--store", place]) == 0
        return capsys.readouterr().out

    secret = token("ada", "notebook", "--read-only", "--days", "30").strip()
    assert admin_of_token(store, secret).read_only
    listed = token("ada")
    assert "notebook  reads only" in listed and secret not in listed
    assert "revoked" in token("ada", "--revoke", listed.split()[0])
    assert token("ada") == ""
    store.close()
