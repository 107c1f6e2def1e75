"""A merchant's data as CSV: everything out, and the balances of another loyalty app in, after a look at them."""
