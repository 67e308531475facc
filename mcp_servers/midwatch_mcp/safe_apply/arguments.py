"""The arguments of `midwatch change|policy|keys|audit`: argparse only, since `midwatch --help` loads this."""

import argparse
from pathlib import Path


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _rehearsal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--serving-image",
        action="append",
        default=[],
        metavar="GLOB",
        help="in a rehearsal, images that the reference backend plays (default: midwatch/serving*); the others "
        "are played by a stand-in that answers 200 on every port",
    )
    parser.add_argument(
        "--within", metavar="DURATION", default="60s", help="how long the copy has to settle (default: %(default)s)"
    )
    parser.add_argument(
        "--max-pods", type=int, default=40, metavar="N", help="most pods that a copy may run (default: %(default)s)"
    )


def configure_change(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `midwatch change`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    found = verbs.add_parser("propose", help="draft a plan, and try it by server dry run")
    found.add_argument("file", metavar="FILE", help="the draft, YAML or JSON; - reads standard input")
    found.add_argument(
        "--as",
        dest="form",
        choices=("plan", "git"),
        default="plan",
        help="plan: for the cluster (default); git: a commit on a new branch, with the manifests edited in place",
    )
    _configure_git(found)
    found.add_argument("--rehearse", action="store_true", help="and rehearse it at once, as `change rehearse` does")
    _rehearsal(found)
    _json(found)

    found = verbs.add_parser("rehearse", help="carry a plan out on a copy of what it touches, in a lab of its own")
    found.add_argument("plan", metavar="PLAN")
    _rehearsal(found)
    _json(found)

    found = verbs.add_parser("operations", help="what a plan may hold, and the arguments of one operation")
    found.add_argument("name", metavar="NAME", nargs="?", help="one operation, with its schema and an example")
    _json(found)

    found = verbs.add_parser("list", help="plans and changes, newest last")
    _json(found)

    found = verbs.add_parser("show", help="one plan or change, with its steps")
    found.add_argument("id", metavar="ID", help="a plan (8 characters of its id suffice) or a change (chg-...)")
    _json(found)

    found = verbs.add_parser("preview", help="try a plan by server dry run, and show what it would change")
    found.add_argument("plan", metavar="PLAN")
    _json(found)

    found = verbs.add_parser("approve", help="look at what a plan would change, and approve or refuse it")
    found.add_argument("plan", metavar="PLAN")
    answer = found.add_mutually_exclusive_group()
    answer.add_argument("--yes", action="store_true", help="approve without asking; for a running lab only")
    answer.add_argument("--deny", action="store_true", help="refuse without asking")
    found.add_argument("--key", metavar="NAME", help="sign as this principal (default: the only key there is)")
    found.add_argument(
        "--expires", metavar="DURATION", default="15m", help="how long the approval is good for (default: 15m)"
    )
    found.add_argument(
        "--server", metavar="URL", help="approve a plan of the server that runs --http there: https://HOST:PORT/mcp"
    )
    found.add_argument(
        "--server-token-file", type=Path, metavar="FILE", help="the token that the server asks for (mode 0600)"
    )
    _json(found)

    found = verbs.add_parser("apply", help="apply an approved plan, and wait until it is verified or undone")
    found.add_argument("plan", metavar="PLAN")
    _json(found)

    found = verbs.add_parser("recover", help="finish or undo changes that were cut off")
    found.add_argument("change", metavar="CHANGE", nargs="?", help="one change, a stuck one too (default: all)")
    _json(found)

    found = verbs.add_parser("settle", help="say how a stuck change stands, once you have looked; verifies nothing")
    found.add_argument("change", metavar="CHANGE")
    found.add_argument("--as", dest="found", choices=("applied", "undone"), required=True, help="what you found")
    found.add_argument("--reason", metavar="TEXT", required=True, help="what you looked at; stands in the audit")
    found.add_argument("--key", metavar="NAME", help="sign as this principal (default: the only key there is)")
    found.add_argument("--yes", action="store_true", help="sign without asking; for a running lab only")
    _json(found)

    found = verbs.add_parser("undo", help="draft a new plan that undoes a verified change")
    found.add_argument("change", metavar="CHANGE")
    _json(found)


def _configure_git(parser: argparse.ArgumentParser) -> None:
    found = parser.add_argument_group("with --as git", "nothing is applied, pushed or checked out")
    found.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: the one around this folder)")
    found.add_argument(
        "--path", metavar="PATH", help="the file, folder or kustomize overlay that the objects are in, as seen from DIR"
    )
    found.add_argument(
        "--values",
        metavar="FILE",
        help="change the values of a Helm chart in FILE, as seen from DIR, instead of manifests",
    )
    found.add_argument(
        "--set-key",
        metavar="FIELD=KEY",
        action="append",
        default=[],
        help="with --values: the key that makes a field, as spec.replicas=replicaCount or containers[NAME].image=image",
    )
    found.add_argument("--base", metavar="REF", help="the commit to build on (default: HEAD)")
    found.add_argument("--branch", metavar="NAME", help="the new branch (default: midwatch/PLAN)")
    found.add_argument("--author", metavar="AUTHOR", help='"NAME <MAIL>" (default: as Git is configured)')
    found.add_argument(
        "--body", type=Path, metavar="FILE", help="write the merge request's text there, not to the output"
    )
    found.add_argument(
        "--no-cluster", action="store_true", help="do not ask the cluster what the change would do there"
    )


def configure_policy(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `midwatch policy`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, text in (
        ("show", "the policy that is in force"),
        ("schema", "the JSON Schema of the policy file"),
        ("unfreeze", "let new writes through again"),
    ):
        _json(verbs.add_parser(name, help=text))
    found = verbs.add_parser("check", help="say what a policy file means, or what in it does not fit")
    found.add_argument("file", metavar="FILE", nargs="?", type=Path, help="default: the one that is in force")
    _json(found)
    found = verbs.add_parser("test", help="the class of a plan or a draft, and what decides it; keeps nothing")
    found.add_argument("plan", metavar="PLAN", help="a plan's id, or a file with a draft (JSON or YAML)")
    _json(found)
    found = verbs.add_parser("freeze", help="stop every new write at once; undoing goes on")
    found.add_argument("reason", nargs="?", default="frozen by hand", help="shown to whoever is refused")
    _json(found)


def configure_keys(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `midwatch keys`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    found = verbs.add_parser("new", help="make a key that signs approvals, and list its public half")
    found.add_argument("name", metavar="NAME")
    found.add_argument("--passphrase", action="store_true", help="ask for a passphrase that each use of the key needs")
    _json(found)
    _json(verbs.add_parser("list", help="who may approve"))
    found = verbs.add_parser("revoke", help="take an approver off the list; unused approvals count no more")
    found.add_argument("name", metavar="NAME")
    _json(found)


def configure_audit(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `midwatch audit`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _json(verbs.add_parser("verify", help="check every line, the chain, and that no line is missing"))
    found = verbs.add_parser("show", help="what was asked, refused and done, oldest first")
    found.add_argument("--change", metavar="ID", help="only of this change (chg-...) or plan, with what belongs to it")
    found.add_argument("--last", metavar="N", type=int, default=0, help="only the last N")
    _json(found)
    found = verbs.add_parser("restart", help="begin a new log where the old one is damaged, and keep that one too")
    found.add_argument("reason", metavar="REASON", help="why; stands in the new log's first line")
    _json(found)
