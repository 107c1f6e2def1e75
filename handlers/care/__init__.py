"""Customers as the merchant sees them: finding somebody, their one page, and putting things right by hand."""
