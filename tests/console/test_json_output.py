"""With --json the document is alone on standard output, without secrets and with numbers that JSON has."""

import json
import math

import pytest

from sepray.console import json_output


def test_only_the_document_is_on_standard_output(capsys):
    with json_output.only_json(True):
        print("a message")
        json_output.print_json({"a": 1})
    print("after")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ('{\n "a": 1\n}\nafter\n', "a message\n")


def test_without_the_flag_nothing_changes(capsys):
    with json_output.only_json(False):
        print("a message")
        json_output.print_json([2])
    assert capsys.readouterr().out == "a message\n[\n 2\n]\n"


def test_an_error_leaves_standard_output_as_it_was(capsys):
    with pytest.raises(KeyError), json_output.only_json(True):
        raise KeyError
    json_output.print_json(None)
    assert capsys.readouterr().out == "null\n"
    assert json_output._outputs == []


def test_numbers_that_are_not_finite_are_null_and_secrets_are_masked(capsys):
    json_output.print_json({"a": (math.nan, [-math.inf, 0.5]), "password": "canary1", "b": {"c": math.inf}, "n": 3})
    found = json.loads(capsys.readouterr().out)
    assert found == {"a": [None, [None, 0.5]], "password": "***", "b": {"c": None}, "n": 3}
