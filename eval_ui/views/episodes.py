"""The Episodes page: watch one recording, or two in sync, with their telemetry and the scores of reward models."""

from collections.abc import Sequence

import streamlit as st

from basalt.core.tasks import STEPS_PER_SECOND
from basalt.io.errors import BasaltError
from eval_ui.elements import facts_html, show_table
from eval_ui.reward_curves import reward_curves
from eval_ui.store_access import the_store
from eval_ui.study_picker import current_study, pick_study
from eval_ui.style import heading
from eval_ui.watch import Curve, curves, watch
from leaderboard.http.video_urls import episode_video
from leaderboard.ratings.columns import task_title
from leaderboard.store.database import Store
from leaderboard.store.models import Episode
from leaderboard.submissions.episodes import episode_telemetry, list_episodes

TITLE = "Episodes"
ORDER = 30
AUDIENCE = "results"

ENDED = {
    "esc": "ended by the player",
    "death": "the player died",
    "limit": "step limit reached",
    "cut": "cut short",
}


def page() -> None:
    """Draw the page."""
    store = the_store()
    try:
        study = current_study(store, clips=False)
        with heading("Episodes", study):
            pick_study(store, study, clips=False)
        episodes = list_episodes(store, study)
        if not episodes:
            st.info("No recordings yet. Add some with `basalt submit`.")
            return
        _watch(store, _choose(episodes))
        with st.expander(f"All {len(episodes)} episodes"):
            _list(episodes)
    except BasaltError as err:
        st.info(str(err))


def _choose(episodes: Sequence[Episode]) -> list[Episode]:
    """One episode, or two of the same task and seed."""
    task_box, seed_box, first_box, second_box = st.columns([1.3, 1, 1.3, 1.3])
    tasks = list(dict.fromkeys(one.task for one in episodes))
    task = task_box.selectbox("Task", tasks, format_func=task_title)
    seeds = list(dict.fromkeys(one.seed for one in episodes if one.task == task))
    seed = seed_box.selectbox("Seed", seeds)
    present = {one.agent.name: one for one in episodes if (one.task, one.seed) == (task, seed)}
    first = first_box.selectbox("Agent", list(present))
    others = [agent for agent in present if agent != first]
    second = second_box.selectbox("Compare with", others, index=None, placeholder="nobody")
    return [present[agent] for agent in (first, second) if agent is not None]


def _watch(store: Store, chosen: Sequence[Episode]) -> None:
    names = [one.agent.name for one in chosen]
    # A video's URL is signed at every run; the player keeps the one it started with.
    watch(
        " ".join(one.id for one in chosen),
        names,
        [episode_video(store, one.id) for one in chosen],
        reward_curves([one.video_sha256 for one in chosen])
        + _curves(tuple(one.id for one in chosen), store),
    )
    for one, column in zip(chosen, st.columns(len(chosen)), strict=True):
        column.html(
            facts_html(
                {
                    "Player": f"{one.agent.name} ({one.agent.kind})",
                    "Length": f"{one.steps / STEPS_PER_SECOND:.1f} s",
                    "End": ENDED.get(one.ended, one.ended),
                    "Replayed": "verified" if one.verified else "unverified",
                }
            )
        )


@st.cache_data(max_entries=64, show_spinner=False)
def _curves(episode_ids: tuple[str, ...], _store: Store) -> list[Curve]:
    return curves([episode_telemetry(_store, one) for one in episode_ids])


def _list(episodes: Sequence[Episode]) -> None:
    show_table(
        {
            "Task": [task_title(one.task) for one in episodes],
            "Seed": [one.seed for one in episodes],
            "Agent": [one.agent.name for one in episodes],
            "Kind": [one.agent.kind for one in episodes],
            "Seconds": [one.steps / STEPS_PER_SECOND for one in episodes],
            "End": [ENDED.get(one.ended, one.ended) for one in episodes],
            "Replayed": ["verified" if one.verified else "unverified" for one in episodes],
        }
    )


page()
