"""Where jobs run: on this machine (`local`), in worker processes that cannot hurt each other."""
