"""The judging app (Streamlit); needs no torch."""
