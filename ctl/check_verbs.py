#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_verbs.py THESEUSCTL MAN BASH ZSH: help, man page and completions list the same verbs and options."""
import json
import pathlib
import re
import subprocess
import sys

ctl, man, bash, zsh = sys.argv[1:5]
table = json.loads(subprocess.run([ctl, "help", "--json"], check=True, capture_output=True, text=True).stdout)
verbs = {row["verb"]: [option["name"] for option in row["options"]] for row in table["commands"]}
globals_ = [option["name"] for option in table["options"]]
words = {verb.split()[0] for verb in verbs}
seconds = {}
for verb in verbs:
    if " " in verb:
        seconds.setdefault(verb.split()[0], set()).add(verb.split()[1])
failures = []


def same(where, found, expected):
    found, expected = set(found), set(expected)
    if found != expected:
        failures.append(f"{where}: missing {sorted(expected - found)}, too many {sorted(found - expected)}")


man_text = pathlib.Path(man).read_text().replace("\\-", "-")
sections = re.split(r"^\.SS ", man_text.split(".SH COMMANDS")[1].split(".SH OPTIONS")[0], flags=re.M)[1:]
man_verbs = {}
for section in sections:
    title, _, body = section.partition("\n")
    verb = re.split(r" (?=\\fI|\[|--|\|)", title)[0].strip()
    # where a command is mentioned with its option, as in "swap-cell --stage"
    man_verbs[verb] = title + body
same("man page", man_verbs, verbs)
for verb, options in verbs.items():
    for option in options:
        if f"--{option}" not in man_verbs.get(verb, ""):
            failures.append(f"man page, {verb}: --{option} is not described")
for option in globals_:
    if f"--{option}" not in man_text.split(".SH OPTIONS")[1]:
        failures.append(f"man page: --{option} is not described")

bash_text = pathlib.Path(bash).read_text()
same("bash", re.search(r'local verbs="([^"]*)"', bash_text)[1].split(), words)
for first, expected in seconds.items():
    same(f"bash, {first}", re.search(rf'local {first}_verbs="([^"]*)"', bash_text)[1].split(), expected)
same("bash, globals", re.search(r'local globals="([^"]*)"', bash_text)[1].replace("--", "").split(), globals_)
listed = {m[1].strip('"'): m[2] for m in re.finditer(r'^\t("[a-z -]+"|[a-z-]+)\) echo "([^"]*)" ;;', bash_text, re.M)}
for verb, options in verbs.items():
    same(f"bash, {verb}", listed.get(verb, "").replace("--", "").split(), options)

zsh_text = pathlib.Path(zsh).read_text()


def zsh_list(name):
    body = re.search(rf"local -a {name}=\(\n(.*?)\n\t\)", zsh_text, re.S)[1]
    return re.findall(r"^\t\t'([a-z-]+):", body, re.M)


same("zsh", zsh_list("verbs"), words)
for first, expected in seconds.items():
    same(f"zsh, {first}", zsh_list(f"{first}_verbs"), expected)
for verb, options in verbs.items():
    arm = re.search(rf"^\t{re.escape(verb.split()[0])}\)(.*?);;$", zsh_text, re.S | re.M)
    for option in options:
        if not arm or f"--{option}" not in arm[1]:
            failures.append(f"zsh, {verb}: --{option} is not completed")

for failure in failures:
    print(failure)
sys.exit(bool(failures))
