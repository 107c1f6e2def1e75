"""The tests, laid out like the packages they test, and what they share."""
