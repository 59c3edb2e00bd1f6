"""Readers of corpora: from a file, packed or in an archive, to rows of aligned texts, streaming."""
