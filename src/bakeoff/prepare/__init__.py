"""Preparation: named, versioned, pure steps over text columns and rows."""
