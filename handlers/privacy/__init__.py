"""What people ask for by law: to see what is kept of them, and to be forgotten."""
