import sys

import pytest

from bakeoff.core import plugins
from bakeoff.core.errors import MissingExtraError, NotFoundError


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Make a distribution whose family `odd` has this source."""

    def install(source):
        (tmp_path / "oddfamily.py").write_text(source)
        info = tmp_path / "oddfamily-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oddfamily\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[bakeoff.families]\nodd = oddfamily:Odd\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        plugins._registered.cache_clear()

    yield install
    plugins._registered.cache_clear()
    sys.modules.pop("oddfamily", None)


def test_built_ins_are_registered_as_third_parties_are(installed):
    installed("class Odd: ...")
    assert {"linear", "boosting", "odd"} <= set(plugins.names("bakeoff.families"))
    assert plugins.load("bakeoff.families", "odd").__name__ == "Odd"


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(NotFoundError, match="Did you mean 'linear'"):
        plugins.load("bakeoff.families", "linaer")


def test_a_missing_module_is_named(installed):
    installed("import not_installed_anywhere")
    with pytest.raises(MissingExtraError, match="not_installed_anywhere"):
        plugins.load("bakeoff.families", "odd")


@pytest.mark.parametrize("source", ["1 / 0", "x = (", "from json import nothing_such", "class Other: ..."])
def test_a_plugin_that_breaks_when_imported_is_blamed_by_name(installed, source):
    installed(source)
    with pytest.raises(NotFoundError, match=r"'odd' \(oddfamily:Odd\) to be importable"):
        plugins.load("bakeoff.families", "odd")
