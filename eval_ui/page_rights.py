"""Who may open which page: `main.py` asks before a page runs, so no page can forget to.

A page names its audience in the constant AUDIENCE:

| audience | who may open the page |
|---|---|
| `raters` | everybody; the page is for judging pairs of episodes |
| `clip raters` | everybody; the page is for comparing clips |
| `results` | who may see the results of the study that is shown |
| `agents` | who may see how the agents came about |
| `admins` | admins |

A page without an audience, or with another one, is for admins. What a page shows to whom is decided on the server too: the
functions that it calls require an `AdminIdentity`.
"""

import streamlit as st

from eval_ui.login.form import sign_in
from eval_ui.session import current_admin, may_see_agents, may_see_results
from eval_ui.store_access import the_store
from eval_ui.study_picker import current_study, is_guest, pick_study, visible_studies
from eval_ui.style import heading
from leaderboard.studies.rules import StudyInfo

_LOCK = ":material/lock:"


def may_open(audience: object) -> bool:
    """Whether this browser may open the pages of an audience.

    Raises:
        StudyError: There is no study to show.
    """
    match audience:
        case "raters" | "clip raters":
            return True
        case "results":
            return may_see_results(current_study(the_store(), clips=False))
        case "agents":
            return may_see_agents(the_store()) and not is_guest(the_store())
        case _:
            return current_admin() is not None


def listed_audiences() -> frozenset[object] | None:
    """The audiences whose pages the navigation names, None for all of them; the others still open by their address.

    A person who is invited to a study finds the page for judging there, and its results when raters may see them.
    """
    store = the_store()
    if not is_guest(store):
        return None
    own = visible_studies(store)
    return frozenset(one for one in ("raters", "clip raters", "results") if _is_for(own, one))


def _is_for(own: list[StudyInfo], audience: str) -> bool:
    """Whether a guest with some studies needs the pages of an audience."""
    match audience:
        case "raters":
            return not all(study.rules.clips for study in own)
        case "clip raters":
            return any(study.rules.clips for study in own)
        case _:
            return any(may_see_results(study) for study in own if not study.rules.clips)


def refuse(audience: object, title: str) -> None:
    """Draw what is shown in place of a page that may not be opened.

    Args:
        audience: The page's audience.
        title: The page's title.
    """
    match audience:
        case "results":
            store = the_store()
            study = current_study(store, clips=False)
            with heading(title, study):
                pick_study(store, study, clips=False)
            st.info("Results and episodes are shown when the study has ended.", icon=_LOCK)
        case "agents":
            st.markdown(f"## {title}")
            st.info(f"{title} are shown when the study has ended.", icon=_LOCK)
        case _:
            sign_in()
