"""The Probes page: the latents of a policy's autoencoders, with clips of the frames on which they fire."""

from collections.abc import Callable, Mapping
from itertools import count

import pandas as pd
import streamlit as st

from basalt.io.errors import BasaltError
from basalt.probes.records import Moment, number
from eval_ui.components import component
from eval_ui.elements import facts_html, show_table
from eval_ui.probes_page.clips import cut_clip, data_url
from eval_ui.probes_page.export import export_html
from eval_ui.probes_page.notes import LONGEST, Note, read_notes, write_note
from eval_ui.probes_page.pictures import in_words, latent_html, ranges_text
from eval_ui.probes_page.suites import (
    Autoencoder,
    Suite,
    find_smoke_tests,
    find_suites,
    open_autoencoder,
)
from eval_ui.session import current_admin

TITLE = "Probes"
ORDER = 40
AUDIENCE = "agents"

EXPORTED = 20
"""Number of latents in a static export, from the top of the table."""

_latent = component(
    "basalt_latent", frame="latent.html", styles=["latent.css"], scripts=["latent.js"], player=False
)


def page() -> None:
    """Draw the page."""
    st.markdown("## Probes")
    suites = find_suites()
    if not suites:
        st.info(
            "There is no suite yet. Make one under `runs/` with `basalt probe scope checkpoint=RUN`."
        )
        _smoke_tests()
        return
    try:
        suite, sae = _choose(suites)
        notes = read_notes(suite.folder, sae.result.hook_point, sae.result.name)
        shown = _table(suite, sae, notes)
        _one(suite, sae, shown, notes)
    except BasaltError as err:
        st.error(str(err))


def _smoke_tests() -> None:
    """What `basalt probe sae` found, as `make demo` runs it: one small autoencoder, and its control."""
    for folder, report in find_smoke_tests().items():
        st.markdown(f"### {folder}")
        st.caption(f":material/science: {report.label}")
        both = {"Trained policy": report.trained, "Control: random network": report.random_network}
        show_table(
            {
                "Autoencoder on": list(both),
                "Variance explained": [one.variance_explained.value for one in both.values()],
                "L0": [one.l0.value for one in both.values()],
                "Dead latents": [one.dead_share for one in both.values()],
                "BC loss change": [one.loss_change.value for one in both.values()],
            },
            column_config={
                "Variance explained": st.column_config.NumberColumn(format="percent"),
                "L0": st.column_config.NumberColumn(format="%.1f", help="active latents per frame"),
                "Dead latents": st.column_config.NumberColumn(format="percent"),
                "BC loss change": st.column_config.NumberColumn(
                    format="%+.4f", help="nats per frame"
                ),
            },
        )
        st.caption(
            f"{report.hook_point} of `{report.checkpoint}`: {report.training_frames} training frames, "
            f"{report.held_out_frames} held-out frames of {len(report.held_out_episodes)} episodes."
        )


def _choose(suites: list[Suite]) -> tuple[Suite, Autoencoder]:
    run_box, hook_point_box, sae_box = st.columns([1.6, 1, 1])
    chosen = run_box.selectbox(
        "Suite", range(len(suites)), format_func=lambda i: suites[i].title, key="probe_suite"
    )
    suite, report = suites[chosen], suites[chosen].report
    if left := report.left_out:
        st.warning(f"{len(left)} results are left out of this suite's report, the first: {left[0]}")
    if not suite.hook_points:
        raise BasaltError(
            f"{suite.folder}: no autoencoder is measured yet; run the same basalt probe scope again to "
            "resume it"
        )
    hook_point = hook_point_box.selectbox("Hook point", suite.hook_points, key="probe_hook_point")
    rows = {row.name: row for row in suite.results(hook_point)}
    name = sae_box.selectbox("Autoencoder", list(rows), key="probe_sae")
    row = rows[name]
    if report.label:
        st.caption(f":material/science: {report.label}")
    st.html(
        facts_html(
            {
                "L0": number(row.l0.value, ".1f"),
                "Unexplained": number(row.variance_explained.complement().value, ".1%"),
                "Dead": f"{row.dead_share:.0%}",
                "BC loss": number(row.loss_change.value, "+.4f"),
                "Loss recovered (mean)": number(row.loss_recovered_mean.value, ".1%"),
            }
        )
    )
    if ranges := ranges_text(row):
        st.caption(f"95% intervals over held-out episodes: {ranges}")
    file = suite.folder / "saes" / hook_point / name / "latents.json"
    written = file.stat().st_mtime if file.is_file() else 0.0
    return suite, _opened(str(suite.folder), hook_point, name, written, suite)


# A resource, since a copy of a large table for each rerun would cost more than reading it.
@st.cache_resource(max_entries=8, show_spinner=False)
def _opened(folder: str, hook_point: str, name: str, written: float, _suite: Suite) -> Autoencoder:
    return open_autoencoder(_suite, hook_point, name)


def _table(suite: Suite, sae: Autoencoder, notes: Mapping[int, Note]) -> list[int]:
    """Show all latents, highest AUC first; returns their numbers in that order."""
    measures = suite.report.measures
    buttons = [i for i, name in enumerate(measures) if not name.startswith("camera.")]
    rows = []
    for latent, row in enumerate(sae.latents):
        effect = sae.effects[latent, buttons]
        strongest = buttons[int(abs(effect).argmax())]
        rows.append(
            {
                "Latent": latent,
                "Density": row.density,
                "Episodes": row.episodes,
                "Best concept": in_words(row.concept.concept) if row.concept else "",
                "AUC": row.concept.auc if row.concept else None,
                "Strongest effect": measures[strongest] if row.density else "",
                "Log-odds": float(sae.effects[latent, strongest]),
                "Note": notes[latent].text if latent in notes else "",
            }
        )
    table = pd.DataFrame(rows)
    table = table[table["Density"] > 0].sort_values("AUC", ascending=False, na_position="last")
    concepts = sorted(set(table["Best concept"]) - {""})
    chosen = st.selectbox("Concept", concepts, index=None, placeholder="any concept")
    if chosen is not None:
        table = table[table["Best concept"] == chosen]
    show_table(
        table,
        height=260,
        placeholder="–",
        column_config={
            "Density": st.column_config.NumberColumn(
                format="%.4f", help="share of held-out frames"
            ),
            "AUC": st.column_config.NumberColumn(
                format="%.3f",
                help="AUC for the concept that it separates best on training frames, on held-out episodes",
            ),
            "Log-odds": st.column_config.NumberColumn(format="%+.3f", help="first-order effect"),
        },
    )
    return [int(number) for number in table["Latent"]]


def _one(suite: Suite, sae: Autoencoder, shown: list[int], notes: Mapping[int, Note]) -> None:
    if not shown:
        st.info("No latent of this autoencoder fires on held-out frames.")
        return
    box, export = st.columns([3, 1], vertical_alignment="bottom")
    title = f"{sae.result.hook_point}-{sae.result.name}"
    # The key names the autoencoder: the same number in another one is a different latent.
    latent = box.selectbox("Latent", shown, key=f"probe_latent {title}")
    note = notes[latent].text if latent in notes else ""

    def clip(moment: Moment) -> str:
        recordings = sae.episodes[moment.episode].recordings
        try:
            return _clip(recordings, moment.start, len(moment.curve))
        except BasaltError:
            return ""

    html = latent_html(sae, latent, suite.report.measures, clip, note)
    _latent(key="latent", data={"key": f"{sae.folder} {latent} {note}", "html": html})
    _note(suite, sae, latent, note)
    if export.button(f"Static page of {min(EXPORTED, len(shown))} latents", width="stretch"):
        page_html = export_html(suite, sae, shown[:EXPORTED], _counted(sae, shown, clip), notes)
        export.download_button("Download", page_html, f"{title}.html", "text/html", width="stretch")


def _counted(
    sae: Autoencoder, shown: list[int], clip: Callable[[Moment], str]
) -> Callable[[Moment], str]:
    """The same clips with a progress bar: twenty latents have more than a hundred of them."""
    rows = [sae.latents[latent] for latent in shown[:EXPORTED]]
    total = sum(len(row.moments) + len(row.examples) for row in rows)
    bar, done = st.progress(0.0, text=f"Cutting {total} clips"), count(1)

    def cut(moment: Moment) -> str:
        url, finished = clip(moment), next(done)
        bar.progress(finished / total, text=f"{finished} of {total} clips")
        return url

    return cut


@st.cache_data(max_entries=256, show_spinner=False)
def _clip(recordings: tuple[str, ...], start: int, frames: int) -> str:
    return data_url(cut_clip(recordings, start, frames))


def _note(suite: Suite, sae: Autoencoder, latent: int, note: str) -> None:
    admin = current_admin()
    if admin is None or admin.read_only:
        st.caption("Admins who may change things can write notes about latents.")
        return
    with st.form(f"note {sae.folder} {latent}", border=False):
        text = st.text_area("Note", note, max_chars=LONGEST, height=80)
        if st.form_submit_button("Save") and text.strip() != note:
            write_note(
                suite.folder, sae.result.hook_point, sae.result.name, latent, text, admin.name
            )
            st.rerun()


page()
