"""What raters will see of a study's settings, before they are saved."""

import streamlit as st

from eval_ui.elements import percent, show_table, show_text
from eval_ui.judging.onboarding import consent_text, introduction, welcome_title
from eval_ui.texts import Texts
from leaderboard.ratings.columns import task_title
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import (
    OUTCOME_NAMES,
    JudgingSettings,
    Outcome,
    asked_questions,
)

HEADINGS: dict[Outcome, str] = {
    "completed": "end.thanks",
    "screened_out": "end.failed",
    "failed_checks": "end.banned",
    "no_consent": "welcome.declined",
    "closed": "end.paused",
}
"""Text above the last page of each outcome."""


def draw(study: StudyInfo, settings: JudgingSettings) -> None:
    """Draw the preview: the welcome page, what is asked about a pair, and the last pages.

    Args:
        study: The study.
        settings: Its settings, saved or not.
    """
    say = Texts(settings.language)
    st.caption("Before the first pair")
    with st.container(border=True, key="preview"):
        welcome_title(study, settings)
        introduction(study, settings)
        if settings.consent:
            consent_text(settings)
            st.markdown(f":material/check_box_outline_blank: {say('welcome.agree')}")
    if not study.rules.clips:
        _pair(study, settings, say)
    st.caption("At the end")
    endings = {outcome: settings.ending(outcome) for outcome in HEADINGS}
    show_table(
        {
            "Outcome": [OUTCOME_NAMES[outcome] for outcome in endings],
            "Heading": [say(key) for key in HEADINGS.values()],
            "Code": [
                one.code or ("one for each rater" if outcome == "completed" else "none")
                for outcome, one in endings.items()
            ],
            "Returns to": [one.address or "–" for one in endings.values()],
        }
    )


def _pair(study: StudyInfo, settings: JudgingSettings, say: Texts) -> None:
    """What is asked about a pair, task by task."""
    st.caption("Beside a pair")
    for task in study.rules.tasks:
        asked = asked_questions(study, settings, task)
        rows = [
            *(("left_only", "right_only", "both", "neither"),) * len(asked.direct),
            *(("left", "draw", "right", "not_applicable"),) * len(asked.comparative),
            ("left_much", "left_slightly", "draw", "right_slightly", "right_much", "both_bad")
            if settings.scale == "strength"
            else ("left_better", "draw", "right_better", "both_bad"),
        ]
        st.markdown(f"**{task_title(task)}**")
        show_table(
            {
                "Question": [*asked.direct, *asked.comparative, say("pair.overall")],
                "Answers": [" · ".join(say(f"pair.{name}") for name in names) for names in rows],
            }
        )
    least = settings.reason_characters
    show_text(
        f"Answers open after {percent(settings.watch_share)} of both videos. "
        + (
            f"A reason of at least {least} characters is needed."
            if least
            else "A reason is optional."
        )
    )
