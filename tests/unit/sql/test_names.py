"""The names of inputs and of bound values."""

from __future__ import annotations

from osiris.sql.safety.names import mentioned_parameters, parameter_types, relation_names


def test_a_single_input_has_all_its_names():
    names = relation_names({"customers": "extract-customers"})
    assert set(names) == {
        "customers",
        "df_customers",
        "extract_customers",
        "df_extract_customers",
        "df",
        "input_df",
    }
    assert set(map(tuple, names.values())) == {("customers",)}


def test_several_inputs_have_their_own_names_only():
    names = relation_names({"a": "a", "B": "load.b"})
    assert {name: meant[0] for name, meant in names.items()} == {
        "a": "a",
        "df_a": "a",
        "b": "B",
        "df_b": "B",
        "load_b": "B",
        "df_load_b": "B",
    }


def test_clashes_are_shown():
    assert relation_names({"a-b": "x", "a_b": "y"})["a_b"] == ["a-b", "a_b"]
    assert relation_names({"df_a": "x", "a": "y"})["df_a"] == ["df_a", "a"]


def test_no_inputs_no_names():
    assert relation_names({}) == {}


def test_parameters():
    assert parameter_types(["run_id", "param_token", "other"]) == {"run_id": "utf8", "param_token": "utf8"}
    assert mentioned_parameters("SELECT $run_started_at, '$x', $param_k, $1") == {
        "run_started_at": "timestamp[us,UTC]",
        "param_k": "utf8",
    }
