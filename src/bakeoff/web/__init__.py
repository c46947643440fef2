"""The HTTP face: routes with declared permissions, the server, and a small client."""
