"""The names of the API are imported when they are used."""

import ast
import pkgutil
from pathlib import Path

from osiris import api


def test_what_type_checkers_see_is_what_there_is():
    tree = ast.parse(Path(api.__file__).read_text())
    seen = {
        name.name: each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) for name in each.names
    }
    del seen["annotations"], seen["TYPE_CHECKING"]

    assert seen == api._HOMES
    assert sorted(seen) == dir(api)
    assert all(getattr(api, name) is not None for name in seen)


def test_no_module_takes_the_place_of_a_name():
    assert not {each.name for each in pkgutil.iter_modules(api.__path__)} & set(dir(api))
