"""Friends who bring friends: a link for each customer, a welcome for the friend, points once their order counts."""
