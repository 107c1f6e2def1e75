"""The demo: a pretend shop around the real program, on one page and as one story."""
