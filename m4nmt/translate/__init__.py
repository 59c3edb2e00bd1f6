"""Decoding: search, scoring, and the Translator that the service and people use."""
