"""The model: an ordered map of named segments, each Flow -> Flow. Knows nothing of data."""
