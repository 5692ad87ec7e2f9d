"""The Progress section: judgments by day, agreement and biases."""

from collections.abc import Sequence
from datetime import datetime

import altair as alt
import pandas as pd
import streamlit as st

from basalt.core.reliability import reliability
from eval_ui.charts import GREEN
from eval_ui.elements import facts_html, percent, show_table
from eval_ui.session import current_admin
from leaderboard.judging.clip_queue import queue_state
from leaderboard.judging.funnel import read_funnel
from leaderboard.judging.quality import QuestionAgreement, Share, StudyQuality, study_quality
from leaderboard.judging.targets import Count, Targets, read_targets
from leaderboard.ratings.columns import number, task_title
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    _funnel(store, study, admin)
    _measures(store, study, admin)


@st.fragment(run_every=60)
def _measures(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """What the judgments say so far; drawn again by itself."""
    if current_admin() is None:  # logged out meanwhile, in another tab
        st.rerun()
    quality = study_quality(store, study)
    judged = [one for one in load_comparisons(store, study) if one.source == "human"]
    winners = pd.Series([one.winner for one in judged], dtype=str)
    st.html(
        facts_html(
            {
                "Judgments by people": str(quality.judgments),
                "Raters": str(quality.raters),
                "Draws": _percent(winners, "draw"),
                "Both bad": _percent(winners, "both_bad"),
                "Skipped": _percent(winners, "skip"),
            }
        )
    )
    if study.rules.clips:
        _queue(store, study)
    else:
        _targets(store, study, admin)
    _quality(quality)
    if not judged:
        st.caption(
            "No judgments yet. Invite raters under Invites; add agents with `basalt submit`, or clips with "
            "`basalt feedback ask`."
        )
        return
    days, tasks = st.columns([2, 1], gap="large")
    with days:
        st.markdown("### Judgments by day (UTC)")
        st.altair_chart(_by_day([one.created for one in judged]), width="stretch")
    with tasks:
        st.markdown("### By task")
        counts = pd.Series([task_title(one.task) for one in judged]).value_counts()
        show_table({"Task": counts.index, "Judgments": counts.to_numpy()})


@st.fragment(run_every=20)
def _funnel(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """How far the raters have come; drawn again by itself."""
    if current_admin() is None:  # logged out meanwhile, in another tab
        st.rerun()
    stages = read_funnel(store, study, admin)
    places = "no limit" if stages.places is None else str(stages.places)
    st.html(
        facts_html(
            {
                "Places in open invites": places,
                "Joined": str(stages.joined),
                "Consented": str(stages.consented),
                "Qualified": str(stages.qualified),
                "Judging": str(stages.judging),
                "Done": str(stages.done),
                "Failed": str(stages.failed),
                "Banned": str(stages.banned),
                "Held for review": str(stages.held),
            },
            small=True,
        )
    )


def _targets(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Comparisons against the targets, the expected end, and the widest interval."""
    found = read_targets(store, study, admin)
    facts = {
        "Comparisons": str(found.comparisons),
        "To the targets": (str(found.missing) if found.missing else "reached")
        if _has_target(found)
        else "no targets",
        "Pace": f"{found.per_day:.0f} a day",
        "Expected end (UTC)": f"{found.expected_end:%Y-%m-%d %H:%M}" if found.expected_end else "–",
        "Widest 95% interval": "–" if found.widest is None else f"{found.widest:.2f}",
    }
    if found.wanted is not None:
        state = "reached: nobody new may begin" if found.has_enough else "not reached"
        facts["Stops at"] = f"{found.wanted:.2f}  ({state})"
    st.markdown("### Targets")
    st.html(facts_html(facts, small=True))
    with st.expander("Comparisons of each pair and agent"):
        for title, counts in (("Pair", found.pairs), ("Agent", found.agents)):
            if counts:
                _counts_table(title, counts)


def _has_target(found: Targets) -> bool:
    return any(one.target is not None for one in (*found.pairs, *found.agents))


def _counts_table(title: str, counts: Sequence[Count]) -> None:
    columns = {
        "Task": [task_title(one.task) for one in counts],
        title: [" – ".join(one.agents) for one in counts],
        "Comparisons": [one.comparisons for one in counts],
    }
    if any(one.target for one in counts):
        columns["Target"] = [one.target for one in counts]
        columns["Reached"] = [min(1.0, one.comparisons / (one.target or 1)) for one in counts]
    bar = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)
    show_table(columns, column_config={"Reached": bar})


def _queue(store: Store, study: StudyInfo) -> None:
    """How far the queue of clips is answered, and how far its answers may be believed."""
    state = queue_state(store, study)
    answers = load_comparisons(store, study, checks=True)
    found = reliability(answers)
    ceiling = "–" if found.ceiling is None else percent(found.ceiling)
    st.html(
        facts_html(
            {
                "Pairs asked": str(state.asked),
                "Open": str(state.missing),
                "Right answers to gold pairs": str(found.gold) if found.gold.trials else "–",
                "Answered too fast": str(sum(bool(one.justification) for one in answers)),
                "Ceiling of held-out accuracy": f"{ceiling}  (from agreement between raters)",
            },
            small=True,
        )
    )


def _quality(quality: StudyQuality) -> None:
    """Agreement and biases, each share with its interval."""
    alpha = _coefficient(quality.alpha, quality.alpha_interval)
    ac1 = _coefficient(quality.ac1, quality.ac1_interval)
    st.markdown("### Agreement and biases")
    st.html(
        facts_html(
            {
                "Krippendorff's α": f"{alpha}, {quality.shared_pairs} pairs judged by two or more",
                "Gwet's AC1": f"{ac1}  (less distorted when most answers are the same)",
                "Left chosen": _share(quality.left),
                "Longer video chosen": _share(quality.longer),
                "Same answer to a repeated pair": _share(quality.repeated),
            },
            small=True,
        )
    )
    if quality.shared_pairs:
        with st.expander("Agreement by task and question"):
            _questions(quality.questions)
    if quality.left.count and not quality.left.low <= 0.5 <= quality.left.high:
        st.warning(
            "Raters prefer one side more often than chance predicts, although sides are assigned at random."
        )


def _questions(questions: Sequence[QuestionAgreement]) -> None:
    """Agreement about each question of each task."""
    columns = {
        "Task": [task_title(one.task) for one in questions],
        "Question": [one.question or "Who did better overall" for one in questions],
        "Krippendorff's α": [_coefficient(one.alpha, one.alpha_interval) for one in questions],
        "Gwet's AC1": [_coefficient(one.ac1, one.ac1_interval) for one in questions],
        "Answered by two or more": [one.units for one in questions],
    }
    show_table(columns)
    st.caption(
        "With 95% intervals from a bootstrap over pairs. A question about each player is counted for each of the two players."
    )


def _coefficient(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "–"
    if interval is None:
        return number(value)
    return f"{number(value)}  ({number(interval[0])} to {number(interval[1])})"


def _share(share: Share) -> str:
    if share.share is None:
        return "–"
    return (
        f"{percent(share.share)}  ({percent(share.low)} to {percent(share.high)})  of {share.count}"
    )


def _percent(values: pd.Series, value: str) -> str:
    return percent((values == value).mean()) if len(values) else "–"


def _by_day(moments: Sequence[datetime]) -> alt.LayerChart | alt.FacetChart:
    frame = pd.DataFrame(
        {"day": pd.to_datetime(pd.Series(moments), utc=True).dt.strftime("%Y-%m-%d")}
    )
    bars = (
        alt.Chart(frame)
        .mark_bar(color=GREEN, cornerRadius=2, size=26)
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("count()", title="judgments", axis=alt.Axis(tickMinStep=1)),
            tooltip=["day", "count()"],
        )
    )
    return alt.layer(bars).properties(height=240)
