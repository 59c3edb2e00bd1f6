"""The trainer and everything that watches it."""
