"""bakeoff: build candidates of both families on your own data, ship the winner, keep it winning."""
