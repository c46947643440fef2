"""Pages of a project and its records: HTML made here, charts drawn here, one stylesheet and one script of our own."""
