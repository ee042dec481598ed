#!/usr/bin/python3
"""Judges TOML files by a JSON Schema: `validate.py SCHEMA FILE...`, a line each: the file, a tab, and `valid` or why not.

An independent judge of what `stackc schema` prints. Needs Debian's python3-jsonschema.
"""

import json
import sys
import tomllib

import jsonschema


def judge(validator, path):
    with open(path, "rb") as file:
        try:
            document = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            return f"no TOML: {error}"
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if error is None:
        return "valid"
    place = ".".join(str(part) for part in error.absolute_path)
    return f"{place}: {error.message}".replace("\n", " ")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in sys.argv[2:]:
        print(f"{path}\t{judge(validator, path)}")


main()
