"""The element for judging a pair: two videos in sync, the task's questions, the answer.

It is a single Streamlit component because its parts interact without the server: answers open once both
videos were watched, the keys control all of it, and the videos fill the height that the answers leave.
"""

from dataclasses import asdict

from eval_ui.components import component
from eval_ui.judging.pair_view import PairView

_element = component(
    "basalt_pair", frame="pair.html", styles=["pair.css"], scripts=["outbox.js", "pair.js"]
)


def judge_pair(view: PairView) -> None:
    """Show the element; what the rater does goes to `eval_ui.judging.routes`, and draws the page again."""
    # The same key for all pairs, so that the page does not jump when the next one comes.
    _element(key="pair", data=asdict(view), on_next_change=lambda: None)
