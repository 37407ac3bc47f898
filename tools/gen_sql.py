#!/usr/bin/env python3
"""SQL files to C: statements as constants, migrations as a table.

    gen_sql.py queries    IN.sql OUT.h OUT.c       blocks "-- name: x" become  const char sql_x[]
    gen_sql.py migrations NAME DIR OUT.h OUT.c     NNNN_text.sql become  NAME_migrations[]
    gen_sql.py text       IN OUT.h OUT.c           the whole file becomes  const char text_<stem>[]

A statement's address identifies it (libs/db prepares by address), so each is one extern object.
"""
import os
import re
import sys

DEFINE = re.compile(r"^--\s*define:\s*([a-z][a-z0-9_]*)\s+(.*\S)\s*$")
MORE = re.compile(r"^--\s*more:\s*(.*\S)\s*$")
NAME = re.compile(r"^--\s*name:\s*([a-z][a-z0-9_]*)\s*$")
FILE = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")


def literal(text):
    """A C string literal, one source line per line of SQL."""
    out = []
    for line in text.split("\n"):
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "    ")
        out.append('    "%s\\n"' % escaped.replace("??", "?\\?"))
    return "\n".join(out)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def guard(path):
    name = "/".join(path.split("/")[-2:])
    return "HF_SQL_" + re.sub(r"[^A-Z0-9]", "_", name.upper())


def blocks(path):
    """(name, sql) of each block; comment lines and the last semicolon are dropped.

    "-- define: word text" makes {word} stand for text, "-- more: text" continues it.
    """
    found, name, lines, words, last = [], None, [], {}, None

    def close():
        if name is None:
            return
        sql = "\n".join(lines).strip()
        sql = sql[:-1].rstrip() if sql.endswith(";") else sql
        for word, text in words.items():
            sql = sql.replace(word, text)
        if not sql:
            sys.exit(f"{path}: statement {name} is empty")
        if any(other == name for other, _ in found):
            sys.exit(f"{path}: statement {name} is there twice")
        found.append((name, sql))

    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = DEFINE.match(line)
            if match:
                last = match.group(1)
                words["{%s}" % last] = match.group(2)
                continue
            match = MORE.match(line)
            if match:
                words["{%s}" % last] += " " + match.group(1)
                continue
            match = NAME.match(line)
            if match:
                close()
                name, lines = match.group(1), []
            elif line.lstrip().startswith("--") or (name is None and not line.strip()):
                continue
            elif name is None:
                sys.exit(f"{path}:{number}: text before the first '-- name:'")
            else:
                lines.append(line.rstrip())
    close()
    return found


def queries(source, header, body):
    found = blocks(source)
    origin = os.path.basename(source)
    text = f"/* Generated from {origin}. */\n#ifndef {guard(header)}\n#define {guard(header)}\n\n"
    text += "".join(f"extern const char sql_{name}[];\n" for name, _ in found)
    folder = os.path.basename(os.path.dirname(header))
    stem = os.path.splitext(os.path.basename(header))[0]
    every = f"sql_all_{folder}_{re.sub('_sql$', '', stem)}"
    text += "\n/* All of them, NULL-terminated: for the check that each can be prepared. */\n"
    text += f"extern const char *const {every}[{len(found) + 1}];\n"
    write(header, text + "\n#endif\n")
    text = f"/* Generated from {origin}. */\n#include \"{os.path.basename(header)}\"\n"
    text += "\n#include <stddef.h>\n"
    text += "".join(f"\nconst char sql_{name}[] =\n{literal(sql)};\n" for name, sql in found)
    text += f"\nconst char *const {every}[{len(found) + 1}] = {{\n"
    text += "".join(f"    sql_{name},\n" for name, _ in found) + "    NULL,\n};\n"
    write(body, text)


def migrations(name, folder, header, body):
    files = sorted(f for f in os.listdir(folder) if f.endswith(".sql"))
    rows = []
    for expected, file_name in enumerate(files, 1):
        match = FILE.match(file_name)
        if not match or int(match.group(1)) != expected:
            sys.exit(f"{folder}/{file_name}: expected {expected:04d}_name.sql")
        with open(os.path.join(folder, file_name), encoding="utf-8") as file:
            rows.append((expected, match.group(2), file.read().rstrip("\n")))
    if not rows:
        sys.exit(f"{folder}: no migrations")
    text = f"/* Generated from {os.path.basename(folder)}/. */\n"
    text += f"#ifndef {guard(header)}\n#define {guard(header)}\n\n#include \"db/migrate.h\"\n\n"
    text += f"#define {name.upper()}_MIGRATIONS_LEN {len(rows)}\n"
    text += f"extern const struct db_migration {name}_migrations[{len(rows)}];\n\n#endif\n"
    write(header, text)
    text = f"/* Generated from {os.path.basename(folder)}/. */\n#include \"{os.path.basename(header)}\"\n"
    text += f"\nconst struct db_migration {name}_migrations[{len(rows)}] = {{\n"
    for version, title, sql in rows:
        text += f'{{{version}, "{title}",\n{literal(sql)}}},\n'
    write(body, text + "};\n")


def text_file(source, header, body):
    origin = os.path.basename(source)
    name = "text_" + re.sub(r"[^a-z0-9]+", "_", os.path.splitext(origin)[0].lower())
    text = f"/* Generated from {origin}. */\n#ifndef {guard(header)}\n#define {guard(header)}\n\n"
    write(header, text + f"extern const char {name}[];\n\n#endif\n")
    with open(source, encoding="utf-8") as file:
        content = file.read().rstrip("\n")
    text = f"/* Generated from {origin}. */\n#include \"{os.path.basename(header)}\"\n"
    write(body, text + f"\nconst char {name}[] =\n{literal(content)};\n")


def main(args):
    if len(args) == 4 and args[0] == "queries":
        queries(*args[1:])
    elif len(args) == 5 and args[0] == "migrations":
        migrations(*args[1:])
    elif len(args) == 4 and args[0] == "text":
        text_file(*args[1:])
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
