#!/usr/bin/python3
"""Compiles every Python file named on the command line and refuses unused imports."""

import ast
import re
import sys


def unused_imports(text):
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for alias in node.names:
            name = (alias.asname or alias.name).split(".")[0]
            if len(re.findall(rf"\b{re.escape(name)}\b", text)) < 2:
                yield node.lineno, name


def main():
    problems = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        try:
            compile(text, path, "exec")
            for line, name in unused_imports(text):
                print(f"{path}:{line}: '{name}' is imported and not used")
                problems += 1
        except SyntaxError as error:
            print(f"{path}:{error.lineno}: {error.msg}")
            problems += 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
