"""`--as git`: the change as a commit on a new branch, its manifest edited in place; nothing is applied (DESIGN §5).

From the bottom up: `scalars`, `nodes`, `blocks`, `lines` and `splice` edit YAML where it stands; `repository` is Git,
without what a repository may configure to be run; `manifests` finds objects, `kustomize`, `overlay` and `values` know
who else has a say, `ways` chooses; `proposal` makes plan, commit and merge request of it.
"""
