"""What the settings form holds and is not saved yet.

Streamlit forgets a field that is not drawn, so changed values are kept apart until they are saved or discarded: they are
there again after another section was shown.
"""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings

T = TypeVar("T")


def _same(value: Any) -> Any:
    return value


class Draft:
    """The form's changes of a study's settings.

    Args:
        study: Study whose settings the form shows.
        present: Its settings as they are stored.

    Attributes:
        present: As given.
        changes: New values by setting, of the fields that were drawn so far.
        labels: Labels of the changed fields.
    """

    def __init__(self, study: StudyInfo, present: JudgingSettings) -> None:
        self.present = present
        self.changes: dict[str, object] = {}
        self.labels: list[str] = []
        self._name = f"settings {study.id}"
        state = st.session_state.setdefault(self._name, {"values": {}, "discarded": 0})
        self._values: dict[str, object] = state["values"]
        self._state = state

    def ask(
        self,
        name: str,
        label: str,
        widget: Callable[..., Any],
        *args: Any,
        show: Callable[[Any], Any] = _same,
        read: Callable[[Any], object] = _same,
        **options: Any,
    ) -> None:
        """Draw the field of a setting, with its default as help.

        Args:
            name: Name of the setting.
            label: Label of the field.
            widget: Streamlit's function for the field.
            args: Its arguments after the label.
            show: Makes the field's value of the setting's.
            read: Makes the setting's value of the field's.
            options: Further arguments of the function.
        """
        default = _in_words(show(JudgingSettings.model_fields[name].default), options)
        hints = [options.pop("help", ""), f"Default: {default}."]
        options["help"] = " ".join(filter(None, hints))
        initial = show(getattr(self.present, name))
        value = self.field(name, label, initial, widget, *args, **options)
        if value != initial:
            self.changes[name] = read(value)

    def field(
        self,
        name: str,
        label: str,
        initial: T,
        widget: Callable[..., T],
        *args: Any,
        **options: Any,
    ) -> T:
        """Draw a field that holds part of a setting, or one in another form; returns its value.

        Args:
            name: Name of the field.
            label: Label of the field.
            initial: Its value without changes.
            widget: Streamlit's function for the field.
            args: Its arguments after the label.
            options: Further arguments of the function.
        """
        # The key names the stored value: when that changes, the field shows the new one.
        stored = hashlib.sha256(repr(initial).encode()).hexdigest()[:8]
        key = f"{self._name} {self._state['discarded']} {name} {stored}"
        if key not in st.session_state:
            st.session_state[key] = self._values.get(name, initial)
        value = widget(label, *args, key=key, **options)
        if value == initial:
            self._values.pop(name, None)
        else:
            self._values[name] = value
            self.labels.append(label)
        return value

    def propose(self, name: str, value: object) -> None:
        """Put a value into a field, as if it were typed there; the page has to be drawn again."""
        self.discard(keep=self._values | {name: value})

    def discard(self, keep: dict[str, object] | None = None) -> None:
        """Take all changes back, except some values by field; the page has to be drawn again."""
        self._state["values"] = keep or {}
        self._state["discarded"] += 1


def _in_words(value: object, options: dict[str, Any]) -> str:
    """A field's value as the form shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", []):
        return str(options.get("placeholder") or "none")
    words = options.get("format_func", str)
    return ", ".join(map(words, value)) if isinstance(value, list) else str(words(value))
