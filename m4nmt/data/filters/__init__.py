"""Filters of a cleaning chain: settings.py names them; each other file does one kind of them."""
