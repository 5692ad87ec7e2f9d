"""The History section: bans, changes of settings and withdrawn answers, newest first."""

import json
from collections.abc import Sequence

import streamlit as st

from eval_ui.elements import show_table
from leaderboard.store.database import Store
from leaderboard.store.models import Event
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.events import history
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings

KINDS = {
    "settings": "settings changed",
    "ban": "rater banned",
    "unban": "ban lifted",
    "withdraw": "answer withdrawn",
    "erase": "personal data deleted",
    "requalify": "qualification reset",
    "attach": "participant continued in another browser",
    "ask": "participant asks to continue in another browser",
    "allow": "another browser allowed",
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
            "Why, or what changed": _details(happened),
        }
    )


def _details(happened: Sequence[Event]) -> list[str]:
    """The reason of each event, the newest first; of a change of settings, what it changed."""
    details = []
    before = JudgingSettings().model_dump(mode="json")
    for one in reversed(happened):
        if one.kind == "settings":
            details.append(
                "; ".join(
                    f"{name}: {_short(before.get(name))} → {_short(value)}"
                    for name, value in one.data.items()
                    if before.get(name) != value
                )
            )
            before = before | one.data
        else:
            details.append(str(one.data.get("reason", "")))
    return details[::-1]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
