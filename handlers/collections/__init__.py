"""What lies in the collections that campaigns name: read from the shop, again and again, as long as one needs it."""
