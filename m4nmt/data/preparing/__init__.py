"""From source files to the files of a store, step by step; `data.prepare` walks them."""
