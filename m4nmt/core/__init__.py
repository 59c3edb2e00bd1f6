"""The ground floor: configs, names, files, logs. Knows nothing of translation."""
