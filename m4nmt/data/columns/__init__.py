"""The files of a store, mapped into memory: lines, rows of pairs, examples."""
