"""What outstanding points are worth: how they moved month by month, and what the books of a shop say of it."""
