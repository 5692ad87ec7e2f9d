"""Feedback: what people or synthetic teachers are asked, and what their answers are worth."""
