"""A pytest plugin for tools/collected: the clock of this process is a day ahead."""

import time

_now, _now_ns = time.time, time.time_ns
time.time = lambda: _now() + 86_400
time.time_ns = lambda: _now_ns() + 86_400 * 10**9
