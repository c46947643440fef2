"""Steps that drop rows: equal, nearly equal, alike in meaning."""
