#!/usr/bin/env python3
"""Ignition from the Butane of packaging/coreos: as much of the translation as those files use, to try them on hosts.

    butane.py FILE.bu >FILE.ign
"""

import base64
import json
import sys

import yaml

# Which Ignition a variant and version of Butane stands for.
VERSIONS = {("flatcar", "1.0.0"): "3.3.0", ("fcos", "1.4.0"): "3.3.0"}


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def translated(value):
    if isinstance(value, list):
        return [translated(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {camel(name): translated(item) for name, item in value.items()}
    if "inline" in result:
        text = base64.b64encode(result.pop("inline").encode()).decode()
        result["source"] = f"data:;base64,{text}"
    return result


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        butane = yaml.safe_load(file)
    version = VERSIONS[butane.pop("variant"), butane.pop("version")]
    json.dump({"ignition": {"version": version}, **translated(butane)}, sys.stdout, indent=1)


main()
