"""To be written: stores."""
