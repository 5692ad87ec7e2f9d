"""The element for comparing clips: two looping clips in step, one key an answer, the next pair loaded behind them."""

from dataclasses import asdict, dataclass

from eval_ui.components import component

_element = component(
    "basalt_compare",
    frame="compare.html",
    styles=["pair.css", "compare.css"],
    scripts=["outbox.js", "compare.js"],
)


@dataclass(frozen=True)
class ShownPair:
    """A pair of clips to show or to load.

    Attributes:
        pair: Opaque id.
        left: URL of the left clip.
        right: URL of the right clip.
    """

    pair: str
    left: str
    right: str


@dataclass(frozen=True)
class ClipsView:
    """What the element shows.

    Attributes:
        pairs: The pair on screen, and the one to load behind it.
        language: Language of the texts, see `eval_ui.texts`.
        title: Title of the task.
        instruction: Instruction that the players had.
        standing: Progress in words.
        undo: Id of the last answer, if it can be withdrawn.
        undo_until: Time until which it can, milliseconds since 1970.
        ticket: What the page sends with the rater's acts, see `eval_ui.judging.acts.rater_ticket`.
    """

    pairs: tuple[ShownPair, ...]
    language: str
    title: str
    instruction: str
    standing: str
    undo: str | None
    undo_until: int | None
    ticket: str


def compare_clips(view: ClipsView) -> None:
    """Show the element; what the rater does goes to `eval_ui.judging.routes`, and draws the page again."""
    _element(key="clips", data=asdict(view), on_next_change=lambda: None)
