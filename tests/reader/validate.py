#!/usr/bin/python3
"""Judges TOML files by a JSON Schema: `validate.py SCHEMA FILE...`, a line of JSON each: the file, and its errors, each
with its path in the document and what is wrong. A file that is no TOML has one error at its top.

An independent judge of what `stackc schema` prints. Needs Debian's python3-jsonschema.
"""

import json
import sys
import tomllib

import jsonschema


def chosen(error):
    """What is wrong with the branches that were meant: those of the value's own type; the error itself when there is none."""
    branches = {}
    for below in error.context:
        branches.setdefault(below.schema_path[0], []).append(below)

    def is_meant(errors):
        wrong_type = (e.validator in ("type", "const", "enum") and not e.relative_path for e in errors)
        return not any(wrong_type)

    meant = [below for errors in branches.values() if is_meant(errors) for below in errors]
    return meant or [error]


def places(error):
    """The paths that an error is about: of keys that are not allowed, the keys themselves."""
    path = [str(part) for part in error.absolute_path]
    if error.validator == "anyOf" and chosen(error) != [error]:
        for below in chosen(error):
            yield from places(below)
    elif error.validator == "additionalProperties":
        for key in error.instance.keys() - error.schema["properties"].keys():
            yield path + [key], error.message
    elif "propertyNames" in error.absolute_schema_path:
        yield path + [error.instance], error.message
    else:
        yield path, error.message


def judge(validator, path):
    with open(path, "rb") as file:
        try:
            document = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            return [([], f"no TOML: {error}")]
    errors = validator.iter_errors(document)
    return [place for error in errors for place in places(error)]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in sys.argv[2:]:
        print(json.dumps([path, judge(validator, path)]))


main()
