import pytest

from bakeoff.core.errors import DataError, UsageError
from bakeoff.web.client import Client


@pytest.mark.parametrize(
    "url", ["junk", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://[::1"]
)
def test_what_is_no_url_of_an_endpoint_is_a_usage_error(url):
    with pytest.raises(UsageError, match="http://host:port"):
        Client(url)


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_values_that_json_cannot_hold_never_leave(value):
    with Client("http://127.0.0.1:1") as client, pytest.raises(DataError, match="JSON"):
        client.predict([{"x": value}])
