"""The History section: bans, changes of settings and withdrawn answers, newest first."""

import streamlit as st

from eval_ui.elements import show_table
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.events import history
from leaderboard.studies.rules import StudyInfo

KINDS = {
    "settings": "settings changed",
    "ban": "rater banned",
    "unban": "ban lifted",
    "withdraw": "answer withdrawn",
    "erase": "personal data deleted",
    "requalify": "qualification reset",
    "attach": "participant continued in another browser",
    "hold": "rater held for review",
    "release": "rater released",
}


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    happened = history(store, study, admin)
    if not happened:
        st.caption("Nothing yet.")
        return
    show_table(
        {
            "When (UTC)": [one.created.strftime("%Y-%m-%d %H:%M:%S") for one in happened],
            "What": [KINDS.get(one.kind, one.kind) for one in happened],
            "Rater": [(one.rater_id or "")[:8] for one in happened],
            "By": [one.by for one in happened],
            "Why": [str(one.data.get("reason", "")) for one in happened],
        }
    )
