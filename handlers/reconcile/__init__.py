"""Asking the platforms what they did not tell us, and taking it in through the same door as what they did."""
