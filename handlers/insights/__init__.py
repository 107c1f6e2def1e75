"""What the merchant sees first: how far the set-up is, what the programme does, and what needs them."""
