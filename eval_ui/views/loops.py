"""The Loops page: what each round of a loop of feedback found."""

import altair as alt
import streamlit as st

from basalt.core.loop_record import LoopRecord
from eval_ui.elements import show_table
from eval_ui.loop_charts import (
    loops_by_title,
    optimisation_plot,
    proxy_plot,
    rounds_table,
    success_plot,
)

TITLE = "Loops"
ORDER = 45
AUDIENCE = "agents"


def page() -> None:
    """Draw the page."""
    st.markdown("## Loops")
    loops = loops_by_title()
    if not loops:
        st.info("There is no loop yet. Run one under `runs/` with `basalt loop init=RUN`.")
        return
    _, record = loops[st.selectbox("Loop", list(loops), key="loop")]
    _facts(record)
    if not record.rounds:
        st.info("No round is complete yet.")
        return
    plots: list[tuple[str, str, alt.Chart | alt.LayerChart]] = [
        ("Success", "of the episodes that each round's policy played, with 95% intervals", success_plot(record)),
        ("What the reward model believes", "mean reward above that of the start, in SD of its episodes", proxy_plot(record)),
    ]  # fmt: skip
    if any(one.gold is not None for one in record.rounds):
        plots.append(("What the world says", "score by telemetry; where it falls, the policy was improved too far", optimisation_plot(record)))  # fmt: skip
    for column, (title, meaning, plot) in zip(st.columns(len(plots)), plots, strict=True):
        column.markdown(f"**{title}**")
        column.caption(meaning)
        column.altair_chart(plot, width="stretch")
    _table(record)


def _facts(record: LoopRecord) -> None:
    who = "people" if record.teacher == "people" else f"the synthetic teacher `{record.teacher}`"
    st.markdown(
        f"`{record.improve}` on {record.task}, from `{record.init}`; answers by {who}. "
        f"{max(0, len(record.rounds) - 1)} of {record.planned} rounds are complete."
    )
    if record.ended:
        st.warning(f"Ended early: {record.ended}")
    elif record.stage:
        st.caption(record.stage)


def _table(record: LoopRecord) -> None:
    share = st.column_config.NumberColumn(format="percent")
    show_table(
        rounds_table(record),
        placeholder="–",
        column_config={
            **dict.fromkeys(("Accuracy", "Ceiling", "Best control", "ESC", "Success", "Low", "High"), share),
            "Reward": st.column_config.NumberColumn(
                format="%+.2f", help="by the round's model, above the start's, in standard deviations of the start's episodes"
            ),
            "Telemetry": st.column_config.NumberColumn(format="%.3f", help="mean score by telemetry, which synthetic teachers look at"),
            "KL": st.column_config.NumberColumn(format="%.4f", help="nats a frame from the start"),
        },
    )  # fmt: skip


page()
