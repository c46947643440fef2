import pickle

import pytest

from bakeoff.core import errors


def test_every_error_is_ours_and_a_standard_one_and_survives_pickling():
    for name in errors.__all__:
        kind = getattr(errors, name)
        if name in {"Problem", "OutOfBudget", "BakeoffError"}:
            continue
        assert issubclass(kind, errors.BakeoffError)
        assert any(base.__module__ == "builtins" and base not in {Exception, object} for base in kind.__mro__[1:-3])
        problem = errors.Problem(file="f", key="k", expected="a", found="b")
        arguments = {errors.ConfigError: ((problem,),), errors.OptionError: ("stop", "told")}
        made = kind(*arguments.get(kind, ("told",)))
        again = pickle.loads(pickle.dumps(made))
        assert (type(again), str(again)) == (kind, str(made))


@pytest.mark.parametrize(("kind", "code"), [("UsageError", 2), ("ConfigError", 2), ("GateError", 3), ("DataError", 1)])
def test_exit_codes(kind, code):
    assert getattr(errors, kind).exit_code == code
