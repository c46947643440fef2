"""Commands that are not the loop itself: one file each."""
