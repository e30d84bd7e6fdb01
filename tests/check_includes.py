#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Who may depend on whom, checked from the #include lines (ARCHITECTURE.md has the picture):

  proto  theseus/errno.h alone           lib  proto, the SDK
  vmm    lib, proto, gate.h, platform.h   ctl  lib, proto, the SDK
  guest  the SDK; the seed also cells/loader's link core
  cells  own folder, the SDK, public headers of other cells; agent also proto
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)
SDK = {p.name for p in (ROOT / "guest/include/theseus").glob("*.h")}
PUBLIC = {p.name: p.parts[-4] for p in ROOT.glob("cells/*/include/theseus/*.h")}
LIBC = {p.name for p in ROOT.glob("cells/libc/include/*.h")}
FREESTANDING = {"stddef.h", "stdint.h", "stdbool.h", "stdarg.h", "limits.h", "stdalign.h", "stdnoreturn.h",
                "immintrin.h", "x86intrin.h", "cpuid.h", "iso646.h", "float.h", "stdatomic.h"}
TEST = re.compile(r"(-test|_test|fake|sim|test-.*)\.[ch]$")


def local(name, folders):
    """Is `name` a file of one of these folders (relative to the root)?"""
    return any((ROOT / folder / name).exists() or any((ROOT / folder).rglob(pathlib.PurePath(name).name))
               for folder in folders)


def check(path):
    rel = path.relative_to(ROOT)
    top = rel.parts[0]
    host_test = bool(TEST.search(path.name)) or "testing" in rel.parts
    for _, name in INCLUDE.findall(path.read_text()):
        if name.startswith("theseus/"):
            header = name.split("/", 1)[1]
            if top == "cells" or top == "tests" or host_test:
                ok = header in SDK or header in PUBLIC
            elif top == "vmm":
                ok = header in {"platform.h", "gate.h"}
            elif top == "guest":
                ok = header in SDK or (rel.parts[1] == "seed" and PUBLIC.get(header) == "loader")
            elif top == "proto":
                ok = header == "errno.h"
            elif top in ("ctl", "lib"):
                ok = header in SDK
            else:
                ok = False
            if not ok:
                yield f"{rel}: <{name}> is not {top}'s to include"
            continue
        if host_test or top == "tests":
            continue
        if top == "cells":
            own = [f"cells/{rel.parts[1]}"] + (["proto"] if rel.parts[1] == "agent" else [])
            foreign = rel.parts[1] == "agent" and (name.startswith("protobuf-c/") or name.endswith(".pb-c.h"))
            if not (foreign or name in FREESTANDING or name in LIBC or local(name, own)):
                yield f"{rel}: {name}: a cell includes its own files, the SDK and public headers only"
        elif top in ("proto", "lib", "vmm", "ctl"):
            uses = {"proto": [], "lib": ["proto"], "vmm": ["lib", "proto"], "ctl": ["lib", "proto"]}
            forbidden = {"proto": ["vmm", "ctl", "lib"], "lib": ["vmm", "ctl"], "vmm": ["ctl"], "ctl": ["vmm"]}
            here = local(name, [top]) or any((ROOT / lib / name).exists() for lib in uses[top])
            for folder in forbidden[top]:
                if not here and (ROOT / folder / name).exists():
                    yield f"{rel}: {name} belongs to {folder}/"


def main():
    bad = []
    for top in ("proto", "lib", "vmm", "ctl", "guest", "cells"):
        for path in sorted((ROOT / top).rglob("*.[ch]")):
            bad += check(path)
    print("\n".join(bad) or "includes keep to the rules")
    return 1 if bad else 0


sys.exit(main())
