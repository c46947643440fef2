import pytest

from bakeoff.core.errors import SecurityError
from bakeoff.security.network import require_guarded


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "[::1]", "localhost"])
def test_loopback_is_allowed(host: str) -> None:
    require_guarded(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", "", "localhost.example.org"])
def test_what_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(SecurityError, match="loopback"):
        require_guarded(host)
