"""What the pages of this room share: one sheet of styles, and tables."""
