"""Damaged files of every kind worldloom reads: does each end as read, refused with a reason, or contained?

    python benchmarks/fuzz.py                          at least 5,000 cases, evenly over all kinds
    python benchmarks/fuzz.py --quick                  600
    python benchmarks/fuzz.py --only mp4 --seed 7 --case 12 --save bad.mp4     the bytes of one case

Every case runs in a child process of its own batch. For videos, which worldloom too opens in a child only, a child
that dies or hangs is contained; for everything else it is a violation, as is any exception but BadInput and
UsageError. Exit code 1 and the bytes of each case under --out where there is one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, ROOT)
os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])

from tests.fuzz.cases import Account, damaged, fuzz_kind  # noqa: E402
from tests.fuzz.kinds import KINDS  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz every reader.")
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--case", type=int, help="write the bytes of this case of --only to --save, and stop")
    parser.add_argument("--save", type=Path, default=Path("case.bin"))
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        if args.case is not None:
            _save(args.only[0], Path(name, "one"), args.seed, args.case, args.save)
            return
        cases = 600 if args.quick else args.cases
        each = -(-cases // len(args.only))
        print(f"{'kind':16} {'cases':>6} {'ok':>6} {'refused':>8} {'contained':>10} {'wrong':>6} {'s':>7} {'max s':>6}")
        accounts = {}
        for kind in args.only:
            accounts[kind] = account = fuzz_kind(KINDS[kind], Path(name, kind), args.seed, each)
            _row(kind, account)
            for number, what in account.violations[:5]:
                print(f"    case {number}: {what.strip()[-1500:]}")
                args.out.mkdir(parents=True, exist_ok=True)
                _save(kind, Path(name, kind), args.seed, number, args.out / f"{kind}-{args.seed}-{number}")
    _end(accounts)


def _row(kind: str, account: Account) -> None:
    refused, contained = sum(account.refused.values()), sum(account.contained.values())
    print(
        f"{kind:16} {account.cases:6} {account.ok:6} {refused:8} {contained:10} {len(account.violations):6} "
        f"{account.seconds:7.1f} {account.slowest_s:6.1f}   {_reasons(account)}",
        flush=True,
    )


def _reasons(account: Account) -> str:
    counted = (account.refused + account.contained).most_common(6)
    return ", ".join(f"{reason} {count}" for reason, count in counted)


def _end(accounts: dict[str, Account]) -> None:
    total = sum(account.cases for account in accounts.values())
    wrong = sum(len(account.violations) for account in accounts.values())
    contained = sum(sum(account.contained.values()) for account in accounts.values())
    ok = sum(account.ok for account in accounts.values())
    refused = sum(sum(account.refused.values()) for account in accounts.values())
    accounted = all(account.accounted for account in accounts.values())
    print(
        f"{total} cases = {ok} ok + {refused} refused + {contained} contained + {wrong} wrong; "
        f"all accounted for: {accounted}"
    )
    print(f"target: no violation, every case accounted for: {'met' if accounted and not wrong else 'NOT met'}")
    if wrong or not accounted:
        sys.exit(1)


def _save(kind: str, folder: Path, seed: int, number: int, path: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        KINDS[kind].prepare(folder)
    target, _, bad = damaged(KINDS[kind], folder, seed, number)
    path.write_bytes(bad)
    print(f"    {target.relative_to(folder)} of case {number}: {path}")


if __name__ == "__main__":
    main()
