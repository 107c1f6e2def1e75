"""Watching the program itself: what waits, what failed, who is alive, and when the books were last looked at."""
