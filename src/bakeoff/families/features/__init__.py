"""Numbers made of tables and texts, and the heads that learn from them."""
