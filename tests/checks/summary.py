#!/usr/bin/env python3
"""Adds up ctest's JUnit reports: every failure and every skip by name, then 'N passed, N failed, N skipped'.

usage: summary.py [--broken "NAME ..."] REPORT...     exit code 1 where anything failed
GoogleTest programs count by their cases, every other ctest entry as one, and so does a mutant, whose cases must fail.
A program that fails without a failed case (a crash, a time limit, a sanitizer report) counts as one failure more.  A
script skips by exit code 77, and says why in a line 'skipped: <reason>'.
"""
import re
import sys
import xml.etree.ElementTree as xml

CASE = re.compile(r"^\[\s+(OK|ok|FAILED|SKIPPED|skipped)\s+\] ([\w/]+\.[\w/]+)", re.M)  # also tests/mpi/main.cpp


def reason(output):
    found = re.findall(r"^skipped: (.*)$", output, re.M)
    return found[-1] if found else "no reason given"


def gtest_reason(output, case):
    """The text between '[ RUN ] case' and '[ SKIPPED ] case', without the file:line."""
    block = re.search(r"\[ RUN +\] %s\n(.*?)\[\s+SKIPPED" % re.escape(case), output, re.S)
    lines = [line.strip() for line in block.group(1).splitlines()] if block else []
    return " ".join(line for line in lines if line and not re.search(r"\.\w+:\d+: Skipped$", line)) or "no reason given"


def read(report, passed, failed, skipped):
    tree = xml.parse(report).getroot()
    for test in tree.iter("testcase"):
        name = f"{report.split('/')[-2]}/{test.get('name')}"
        output = test.findtext("system-out") or ""
        if test.find("skipped") is not None:
            skipped[name] = reason(output)
            continue
        ended_badly = test.get("status") == "fail"
        cases = {}
        by_case = not test.get("name").startswith("mutant_")
        for verdict, case in CASE.findall(output) if by_case else []:
            if verdict == "FAILED" or case not in cases:  # a case that is repeated fails where one of them does
                cases[case] = verdict.upper()
        for case, verdict in cases.items():
            full = f"{name} {case}"
            if verdict == "OK":
                passed.append(full)
            elif verdict == "FAILED":
                failed.append(full)
            else:
                skipped[full] = gtest_reason(output, case)
        if ended_badly and "FAILED" not in cases.values():
            failed.append(name)
        elif not cases:
            passed.append(name)


def main(arguments):
    passed, failed, skipped = [], [], {}
    if arguments[:1] == ["--broken"]:
        failed += [f"{name} (did not build or start)" for name in arguments[1].split()]
        arguments = arguments[2:]
    for report in arguments:
        read(report, passed, failed, skipped)
    for name, why in skipped.items():
        print(f"!! SKIPPED {name}: {why}")
    for name in failed:
        print(f"!! FAILED  {name}")
    if not passed and not failed:
        failed.append("no test ran")
        print("!! FAILED  no test ran")
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
