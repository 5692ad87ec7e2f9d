"""The app's look, where Streamlit's own settings end."""

STYLE = """
<style>
.stMainBlockContainer { padding: 3.6rem 2rem 1rem; max-width: 1440px; }
.stMainBlockContainer h3 { padding: 0.2rem 0 0.1rem; }
.board { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.board caption { text-align: left; opacity: 0.75; font-size: 0.85rem; padding-bottom: 0.4rem; }
.board th { text-align: right; font-weight: 600; font-size: 0.8rem; opacity: 0.75; }
.board td { text-align: right; white-space: nowrap; }
.board th, .board td {
  padding: 0.45rem 0.45rem; border-bottom: 1px solid rgba(128, 128, 128, 0.25);
}
.board .text { text-align: left; }
.board td.agent { font-weight: 600; white-space: normal; overflow-wrap: anywhere; min-width: 6rem; }
</style>
"""
