"""The sections of the Study page. Each gets the admin's identity, which the back end requires."""

from collections.abc import Callable

from eval_ui.study_admin import (
    exports,
    gold,
    history,
    invites,
    progress,
    raters,
    settings_form,
    studies,
)
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.rules import StudyInfo

SECTIONS: dict[str, Callable[[Store, StudyInfo, AdminIdentity], None]] = {
    "Progress": progress.draw,
    "Raters": raters.draw,
    "Gold pairs": gold.draw,
    "Invites": invites.draw,
    "Settings": settings_form.draw,
    "Export": exports.draw,
    "History": history.draw,
    "Studies": studies.draw,
}
"""Tab names and what draws them."""
