"""Admins' accounts and API tokens, below the settings of a study; they hold for all studies of the store."""

import streamlit as st

from eval_ui.elements import attempt, show_table
from leaderboard.store.database import Store
from leaderboard.studies.access import (
    MIN_PASSWORD,
    AdminIdentity,
    add_admin,
    admin_names,
    changes,
)
from leaderboard.studies.tokens import MAX_DAYS, create_token, list_tokens, revoke_token

_NEW_TOKEN = "new-token"


def draw(store: Store, admin: AdminIdentity) -> None:
    """Draw both lists, with what adds to them."""
    st.markdown("### Admins")
    st.markdown(", ".join(f"`{name.replace('`', '')}`" for name in admin_names(store)) or "None.")
    with st.popover("Add an admin or change a password"), st.form("admin", border=False):
        name = st.text_input("Name", max_chars=64)
        password = st.text_input(
            f"Password, at least {MIN_PASSWORD} characters", type="password", max_chars=500
        )
        email = st.text_input("Email address, for OIDC login", max_chars=200)
        read_only = st.checkbox("Read-only: sees everything, changes nothing")
        if st.form_submit_button("Save"):
            attempt(_save, store, admin, name, password, email, read_only)
    _tokens(store, admin)


def _tokens(store: Store, admin: AdminIdentity) -> None:
    st.markdown("### API tokens")
    st.caption("A program that sends a token may do what you may, without your password.")
    if made := st.session_state.pop(_NEW_TOKEN, None):
        st.success("Copy this token now. It is not stored and cannot be shown again.")
        st.code(made, language=None)
    tokens = list_tokens(store, admin)
    if tokens:
        show_table(
            {
                "For": [one.label for one in tokens],
                "Rights": ["reads only" if one.read_only else "may change" for one in tokens],
                "Made (UTC)": [f"{one.created:%Y-%m-%d %H:%M}" for one in tokens],
                "Expires (UTC)": [
                    f"{one.expires:%Y-%m-%d}" if one.expires else "never" for one in tokens
                ],
            }
        )
    with st.container(horizontal=True):
        with st.popover("Make a token"), st.form("token", border=False):
            label = st.text_input("Program that uses it", max_chars=64)
            days = st.number_input("Days until it expires", 1, MAX_DAYS, 90)
            read_only = st.checkbox("Reads only", value=True)
            if st.form_submit_button("Make"):
                attempt(_make_token, store, admin, label, read_only, int(days))
        if tokens:
            with st.popover("Revoke a token"):
                labels = {one.id: one.label for one in tokens}
                chosen = st.selectbox("Token", list(labels), format_func=labels.__getitem__)
                if st.button("Revoke token"):
                    attempt(revoke_token, store, admin, chosen)


@changes
def _save(
    store: Store, admin: AdminIdentity, name: str, password: str, email: str, read_only: bool
) -> None:
    add_admin(store, name, password=password or None, email=email or None, read_only=read_only)


def _make_token(store: Store, admin: AdminIdentity, label: str, read_only: bool, days: int) -> None:
    st.session_state[_NEW_TOKEN] = create_token(
        store, admin, admin.name, label, read_only=read_only, days=days
    )
