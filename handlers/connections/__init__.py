"""What a merchant's shop, payments and mail are connected by, how well each does, and connecting and parting."""
