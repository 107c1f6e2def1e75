"""The latest state of each sale: facts merged commutatively, linked across platforms, valued."""
