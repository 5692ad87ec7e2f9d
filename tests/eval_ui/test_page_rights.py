"""Rights of pages: a page that says nothing about them is refused, and invited raters see only what is theirs."""

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import eval_ui
from eval_ui import session
from leaderboard.judging.invites import create_invite
from leaderboard.judging.raters import new_rater_secret
from leaderboard.store.database import Store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo, create_study, demo_study
from leaderboard.studies.settings import change_settings
from tests.support.three_players import SEEDS

ADMIN = command_line_admin()
APP = Path(eval_ui.__file__).parent
SECRET = "what only admins may read"
NEW_PAGE = f"""
import streamlit as st

TITLE = "New"
ORDER = 99
{{audience}}
st.write("{SECRET}")
"""

pytestmark = pytest.mark.usefixtures("cookies")


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """The app's own script beside the app's own pages, to which a test can add one."""
    shutil.copytree(APP / "views", tmp_path / "app" / "views")
    for name in ("main.py", "icon.png"):
        shutil.copy(APP / name, tmp_path / "app" / name)
    return tmp_path / "app" / "main.py"


def opened(main: Path, page: str | None = None, **query: str) -> AppTest:
    app = AppTest.from_file(str(main), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    if page is not None:
        app.switch_page(f"views/{page}.py").run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    return "\n".join(one.value for kind in ("markdown", "info") for one in app.get(kind))  # type: ignore[union-attr]


@pytest.fixture
def tabs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses in the navigation that was drawn last."""
    import streamlit as st

    drawn: list[str] = []

    def navigation(pages: list[st.Page], **options: object) -> st.Page:
        drawn[:] = [page.title for page in pages if page.visibility == "visible"]
        return shown(pages, **options)

    shown = st.navigation
    monkeypatch.setattr(st, "navigation", navigation)
    return drawn


@pytest.mark.parametrize("audience", ["", 'AUDIENCE = "rater"', "AUDIENCE = None"])
@pytest.mark.usefixtures("study")
def test_a_page_that_does_not_say_for_whom_it_is_opens_to_admins_alone(
    main: Path, audience: str, request: pytest.FixtureRequest
) -> None:
    (main.parent / "views" / "new.py").write_text(NEW_PAGE.format(audience=audience))
    stranger = opened(main, "new")
    assert SECRET not in text(stranger)
    assert "Log in as an admin" in text(stranger)
    request.getfixturevalue("as_admin")
    assert SECRET in text(opened(main, "new"))


@pytest.mark.usefixtures("study")
def test_a_page_for_raters_opens_to_everybody(main: Path) -> None:
    page = NEW_PAGE.format(audience='AUDIENCE = "raters"')
    (main.parent / "views" / "new.py").write_text(page)
    assert SECRET in text(opened(main, "new"))


def test_who_is_invited_sees_only_what_is_theirs(
    empty_store: Store, study: StudyInfo, main: Path, tabs: list[str], cookies: dict[str, str],
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    cookies[session.RATER_COOKIE] = new_rater_secret(empty_store)
    create_study(empty_store, "open to all", demo_study({"find_cave": SEEDS}, "test", "1"))
    assert opened(main).selectbox[0].options == ["open to all", "small"]
    assert {"Judge", "Leaderboard", "Probes", "Study"} <= set(tabs)

    change_settings(empty_store, study, ADMIN, open_signup=False, show_results=False, ended=True)
    token = create_invite(empty_store, study, ADMIN, "batch")
    app = opened(main, invite=token)
    assert not app.selectbox
    assert tabs == ["Judge", "Leaderboard", "Episodes"]

    change_settings(empty_store, study, ADMIN, ended=False)
    app = opened(main, invite=token)
    assert tabs == ["Judge"]
    next(one for one in app.button if one.label == "Begin").click().run()
    # Who takes part is a guest without the link, too; and the addresses of pages that are not listed are refused.
    app = opened(main)
    assert tabs == ["Judge"]
    assert "open to all" not in repr(app.main)
    for page, shown in {
        "leaderboard": "shown when the study has ended",
        "episodes": "shown when the study has ended",
        "probes": "shown when the study has ended",
        "loops": "shown when the study has ended",
        "study": "Log in as an admin",
    }.items():
        refused = opened(main, page)
        assert shown in text(refused)
        assert "open to all" not in repr(refused.main)
    change_settings(empty_store, study, ADMIN, show_results=True)
    assert "shown when the study has ended" in text(opened(main, "probes"))
    request.getfixturevalue("as_admin")
    opened(main)
    assert {"Judge", "Leaderboard", "Probes", "Study"} <= set(tabs)
