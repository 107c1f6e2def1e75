"""What Shopify is told of each customer's points, so that the shop's theme, its accounts and Flow can show them."""
