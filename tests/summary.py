#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the results in meson's testlog.json files: one plain line, exit 1 if any test failed."""
import json
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}


def main(paths):
    passed = failed = skipped = 0
    for path in paths:
        with open(path, encoding="utf-8") as log:
            for line in log:
                test = json.loads(line)
                if test["result"] in PASSED:
                    passed += 1
                elif test["result"] in SKIPPED:
                    skipped += 1
                    print(f"skipped: {test['name']}: {(test.get('stdout') or '').strip()[-200:]}")
                else:
                    failed += 1
                    print(f"failed: {test['name']} ({test['result']})")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


sys.exit(main(sys.argv[1:]))
