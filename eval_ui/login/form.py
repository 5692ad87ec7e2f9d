"""The admin login form and the logout button."""

import streamlit as st

from eval_ui.components import component
from eval_ui.login.routes import LOGIN_PATH, LOGOUT_PATH
from eval_ui.session import admin_secret

_form = component(
    "basalt_login", frame="login.html", styles=["login.css"], scripts=["login.js"], player=False
)


def oidc_is_set_up() -> bool:
    """Whether Streamlit's secrets name an OIDC provider."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def sign_in() -> None:
    """Show the login form."""
    with st.columns([1, 1.2, 1])[1], st.container(border=True):
        st.markdown("#### Log in as an admin")
        if oidc_is_set_up():
            if getattr(st.user, "is_logged_in", False):
                st.warning("This account is not an admin account.")
                st.button("Log out", on_click=st.logout)
            else:
                st.button("Log in with your organisation", on_click=st.login, type="primary")
            st.caption("or with name and password")
        _form(key="login", data={"login": LOGIN_PATH, "logout": LOGOUT_PATH, "inside": False})
        st.caption(
            "On this machine, the link that `basalt ui` printed logs you in. "
            "`basalt leaderboard admin NAME` creates an account."
        )


def sign_out() -> None:
    """Show the logout button."""
    if admin_secret() is None:
        st.button("Log out", on_click=st.logout)
    else:
        _form(
            key="logout",
            data={"login": LOGIN_PATH, "logout": LOGOUT_PATH, "inside": True},
            width="content",
        )
