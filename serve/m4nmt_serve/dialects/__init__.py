"""One router for each API that clients speak; all of them are thin coats over Service."""
