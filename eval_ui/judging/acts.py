"""Elements in which raters act: what their browser sends is checked, handled, and answered by a reply."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from basalt.io.untrusted import unfit


class Undo(BaseModel):
    """The rater withdraws the last answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["undo"]
    nonce: str = Field(max_length=100)


@dataclass(frozen=True)
class Reply:
    """The result of an action, shown to the rater.

    Attributes:
        nonce: Nonce of the action.
        text: Message for the rater.
        ok: False shows the message as an error.
    """

    nonce: str
    text: str
    ok: bool = True


Act = TypeVar("Act")


def show_element(
    element: Callable[..., Any],
    key: str,
    data: Mapping[str, Any],
    acts: TypeAdapter[Act],
    handle: Callable[[Act], Reply],
) -> None:
    """Show an element, and handle what its rater does.

    Args:
        element: Component from `eval_ui.components.component`; it sends the trigger `act`.
        key: Key of the element, the same for all pairs, so that the page does not jump when the next one comes.
        data: What it shows; the reply to the last action is added as `reply`.
        acts: The actions that it may send.
        handle: Function that is called with the rater's action, before the page is redrawn.
    """

    def on_act() -> None:
        sent = (st.session_state.get(key) or {}).get("act")
        if not isinstance(sent, Mapping):
            return
        nonce = str(sent.get("nonce"))[:100]
        if fault := unfit(dict(sent)):
            known = "" if unfit(nonce) else nonce
            st.session_state[f"{key} reply"] = Reply(known, f"not saved: {fault}", False)
            return
        try:
            reply = handle(acts.validate_python(dict(sent)))
        except ValidationError as err:
            field = ".".join(str(part) for part in err.errors()[0]["loc"])
            reply = Reply(nonce, f"not saved: {field} is malformed", False)
        st.session_state[f"{key} reply"] = reply

    reply: Reply | None = st.session_state.get(f"{key} reply")
    element(
        key=key,
        data=dict(data) | {"reply": asdict(reply) if reply else None},
        on_act_change=on_act,
    )
