"""CSS that Streamlit's own theme settings do not cover."""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import streamlit as st

from leaderboard.studies.rules import StudyInfo

WIDE_SCREEN = 2400
"""Width in CSS pixels from which all text is half as large again."""

STYLE = (
    f"<style>@media (min-width: {WIDE_SCREEN}px) {{ html {{ font-size: 24px !important; }} }}</style>"
    + """
<style>
.stMainBlockContainer { padding: 3.9rem 2rem 1.5rem; max-width: max(90rem, 85vw); }
/* The navigation begins where the page does. */
.stAppHeader { padding-inline: max(0px, (100vw - max(90rem, 85vw)) / 2); }
.stMainBlockContainer h1 { font-size: 1.6rem; padding: 0.3rem 0; }
.stMainBlockContainer h2 small { font-size: 1rem; font-weight: 400; opacity: 0.7; padding-left: 0.6rem; overflow-wrap: anywhere; }
.stMainBlockContainer h2 { margin: 0; font-size: 1.6rem; padding: 0.3rem 0 0.4rem; }
.stMainBlockContainer h3, .stMainBlockContainer h4 { font-size: 1.2rem; padding: 0.2rem 0; }
/* A rater's first page needs no named icon, and so not the font of them, of 375 KB. */
[data-testid="stPopoverButton"] [data-testid="stIconMaterial"],
[data-testid="stExpandSidebarButton"] [data-testid="stIconMaterial"] { display: none; }
[data-testid="stPopoverButton"]::after {
  content: ""; width: 0.4rem; height: 0.4rem; border: solid; border-width: 0 1.5px 1.5px 0; transform: translateY(-20%) rotate(45deg);
}
[data-testid="stExpandSidebarButton"]::before { content: "\\2630"; font-size: 1.2rem; }
/* The form is longer than the screen. */
[data-testid="stLayoutWrapper"]:has(> .st-key-save) { position: sticky; bottom: 0; z-index: 1; padding: 0.5rem 0; background: white; }
.st-key-footer { padding-top: 0.4rem; font-size: 0.9rem; }
.stMain.stMain:focus { outline: none; box-shadow: none; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p { opacity: 1; color: #5b605d; }
[data-testid="stCaptionContainer"] code { color: #2f6f4f; }
.wide { overflow-x: auto; container-type: inline-size; }
.board { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.board caption { position: sticky; left: 0; max-width: 100cqw; text-align: left; opacity: 0.75; font-size: 0.85rem; padding-bottom: 0.4rem; }
.board .note { display: block; max-width: 60rem; }
.board th.group { text-align: left; padding-top: 0.9rem; }
.board th { text-align: right; font-weight: 600; font-size: 0.8rem; opacity: 0.75; }
.board th[title]:not([title=""]) { cursor: help; }
.board td { text-align: right; white-space: nowrap; }
.board th, .board td {
  padding: 0.5rem 0.55rem; border-bottom: 1px solid rgba(128, 128, 128, 0.25);
}
.board tbody tr:hover { background: rgba(47, 111, 79, 0.06); }
.board .text { text-align: left; }
.board .weak { opacity: 0.75; }
.board td.main { font-weight: 600; }
.board .interval { position: relative; display: inline-block; width: 9rem; height: 1rem; margin-left: 1rem; vertical-align: middle; }
.board .interval span { position: absolute; top: 50%; background: #2f6f4f; }
.board .interval .line { height: 2px; margin-top: -1px; }
.board .interval .dot { width: 8px; height: 8px; margin: -4px 0 0 -4px; border-radius: 50%; }
.board td.agent { font-weight: 600; white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
.facts { display: flex; flex-wrap: wrap; gap: 0.4rem 2.2rem; margin: 0.2rem 0 0.4rem; }
.facts .what { display: block; font-size: 0.8rem; opacity: 0.75; }
.facts .value { font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.facts.small .value { font-size: 1rem; font-weight: 500; }
@media (max-width: 48rem) { .stMainBlockContainer { padding: 3.9rem 1rem 1rem; } }
</style>
"""
)


@contextmanager
def heading(title: str, study: StudyInfo) -> Iterator[None]:
    """A page's title with the study's name; what is drawn inside appears at its right."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(f"<h2>{escape(title)} <small>{escape(study.name)}</small></h2>")
        yield
