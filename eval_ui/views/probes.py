"""The Probes page: what the latents of a policy's autoencoders mean, in film."""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pandas as pd
import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.components import component
from eval_ui.probes_page.clips import cut_clip, data_address
from eval_ui.probes_page.export import export_html
from eval_ui.probes_page.notes import LONGEST, read_notes, write_note
from eval_ui.probes_page.pictures import figure_ranges, latent_html
from eval_ui.probes_page.suites import Autoencoder, Suite, find_suites, open_autoencoder
from eval_ui.session import current_admin, may_see_probes

TITLE = "Probes"
ICON = ":material/biotech:"
ORDER = 40

EXPORTED = 20
"""Latents in a static export, those on top of the table."""

_latent = component(
    "basalt_latent", frame="latent.html", styles=["latent.css"], scripts=["latent.js"], player=False
)


def page() -> None:
    """Draw the page."""
    st.markdown("### Probes")
    if not may_see_probes():
        st.info("Probes are shown when the study has ended.", icon=":material/lock:")
        return
    suites = find_suites()
    if not suites:
        st.info("No suite here yet. `basalt probe scope checkpoint=RUN` makes one under `runs/`.")
        return
    try:
        suite, sae = _choose(suites)
        notes = read_notes(suite.folder, sae.site, sae.name)
        shown = _table(suite, sae, notes)
        _one(suite, sae, shown, notes)
    except BasaltError as err:
        st.error(str(err))


def _choose(suites: list[Suite]) -> tuple[Suite, Autoencoder]:
    run_box, site_box, sae_box = st.columns([1.6, 1, 1])
    number = run_box.selectbox(
        "Suite", range(len(suites)), format_func=lambda i: suites[i].title, key="probe_suite"
    )
    suite = suites[number]
    if left := suite.report.get("left_out"):
        st.warning(f"{len(left)} left out of this suite's report, the first: {left[0]}")
    if not suite.sites:
        raise BasaltError(
            f"{suite.folder}: no autoencoder is measured yet; run basalt probe scope again, which goes on"
        )
    site = site_box.selectbox("Site", suite.sites, key="probe_site")
    names = [row["name"] for row in suite.metrics(site)]
    name = sae_box.selectbox("Autoencoder", names, key="probe_sae")
    if suite.report["label"]:
        st.caption(f":material/science: {suite.report['label']}")
    (row,) = (row for row in suite.metrics(site) if row["name"] == name)
    with st.container(horizontal=True):
        st.metric("L0", f"{row['l0']:.1f}")
        st.metric("Unexplained", f"{1 - row['variance_explained']:.1%}")
        st.metric("Dead", f"{row['dead_share']:.0%}")
        st.metric("BC loss", f"{row['loss_change']:+.4f}")
        recovered = row["recovered_mean"]["value"]
        st.metric("Loss recovered (mean)", "–" if recovered is None else f"{recovered:.1%}")
    if ranges := figure_ranges(row):
        st.caption(f"95 % over held-out episodes: {ranges}")
    return suite, _opened(suite, site, name)


@st.cache_data(max_entries=8, show_spinner=False)
def _cached(folder: str, site: str, name: str, at: float, _suite: Suite) -> Autoencoder:
    return open_autoencoder(_suite, site, name)


def _opened(suite: Suite, site: str, name: str) -> Autoencoder:
    file = suite.folder / "saes" / site / name / "latents.json"
    at = file.stat().st_mtime if file.is_file() else 0.0
    return _cached(str(suite.folder), site, name, at, suite)


def _table(suite: Suite, sae: Autoencoder, notes: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """All latents, strongest claims first; returns their numbers in that order."""
    measures = suite.report["measures"]
    buttons = [i for i, name in enumerate(measures) if not name.startswith("camera.")]
    rows = []
    for number, row in enumerate(sae.latents):
        effect = sae.effects[number, buttons]
        strongest = buttons[int(abs(effect).argmax())]
        concept = row.get("concept") or {}
        rows.append(
            {
                "Latent": number,
                "Density": row["density"],
                "Episodes": row["episodes"],
                "Top concept": concept.get("concept", ""),
                "AUC": concept.get("auc"),
                "Strongest effect": measures[strongest] if row["density"] else "",
                "Log-odds": float(sae.effects[number, strongest]),
                "Note": notes.get(number, {}).get("text", ""),
            }
        )
    table = pd.DataFrame(rows)
    table = table[table["Density"] > 0].sort_values("AUC", ascending=False, na_position="last")
    concepts = sorted(set(table["Top concept"]) - {""})
    chosen = st.selectbox("Concept", concepts, index=None, placeholder="any concept")
    if chosen is not None:
        table = table[table["Top concept"] == chosen]
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=260,
        column_config={
            "Density": st.column_config.NumberColumn(
                format="%.4f", help="share of held-out frames"
            ),
            "AUC": st.column_config.NumberColumn(
                format="%.3f", help="of the concept it told best in training, on held-out episodes"
            ),
            "Log-odds": st.column_config.NumberColumn(format="%+.3f", help="first order"),
        },
    )
    return [int(number) for number in table["Latent"]]


def _one(
    suite: Suite, sae: Autoencoder, shown: list[int], notes: Mapping[int, Mapping[str, Any]]
) -> None:
    if not shown:
        st.info("No latent of this autoencoder fires on held-out frames.")
        return
    box, export = st.columns([3, 1], vertical_alignment="bottom")
    # Another autoencoder's latent of the same number is another thing.
    latent = box.selectbox("Latent", shown, key=f"probe_latent {sae.site} {sae.name}")
    note = str(notes.get(latent, {}).get("text", ""))

    def film(moment: Mapping[str, Any]) -> str:
        episode = sae.episodes[moment["episode"]]
        try:
            return _clip(tuple(episode["recordings"]), moment["start"], len(moment["curve"]))
        except BasaltError:
            return ""

    html = latent_html(
        latent,
        sae.latents[latent],
        sae.effects[latent],
        suite.report["measures"],
        sae.episodes,
        film,
        note,
    )
    _latent(key="latent", data={"key": f"{sae.folder} {latent} {note}", "html": html})
    _note(suite, sae, latent, note)
    if export.button(f"Static page of {min(EXPORTED, len(shown))} latents", width="stretch"):
        page_html = export_html(suite, sae, shown[:EXPORTED], _counted(sae, shown, film), notes)
        export.download_button(
            "Download", page_html, f"{sae.site}-{sae.name}.html", "text/html", width="stretch"
        )


def _counted(
    sae: Autoencoder, shown: list[int], film: Callable[[Mapping[str, Any]], str]
) -> Callable[[Mapping[str, Any]], str]:
    """The same films, with a bar: twenty latents have more than a hundred."""
    rows = [sae.latents[latent] for latent in shown[:EXPORTED]]
    total = sum(len(row["moments"]) + len(row["examples"]) for row in rows)
    bar, done = st.progress(0.0, text=f"Cutting {total} films"), count(1)

    def cut(moment: Mapping[str, Any]) -> str:
        address, number = film(moment), next(done)
        bar.progress(number / total, text=f"{number} of {total} films")
        return address

    return cut


@st.cache_data(max_entries=256, show_spinner=False)
def _clip(recordings: tuple[str, ...], start: int, frames: int) -> str:
    return data_address(cut_clip(recordings, start, frames))


def _note(suite: Suite, sae: Autoencoder, latent: int, note: str) -> None:
    admin = current_admin()
    if admin is None:
        st.caption("Admins may write notes on latents.")
        return
    with st.form(f"note {sae.folder} {latent}", border=False):
        text = st.text_area("Note", note, max_chars=LONGEST, height=80)
        if st.form_submit_button("Keep") and text.strip() != note:
            write_note(suite.folder, sae.site, sae.name, latent, text, admin.name)
            st.rerun()


page()
