"""Reviews: asked for by neutral rules, answered on one page, kept as verified purchases."""
