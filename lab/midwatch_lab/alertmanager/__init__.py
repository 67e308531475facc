"""The lab's Alertmanager: alerts in, grouped notifications to webhooks out, in Alertmanager's format.

`config` reads a subset of `alertmanager.yml`; `routes` finds who is told; `dispatcher` groups and decides when;
`webhook` writes and sends. Silences, inhibition, mute times and receivers of other kinds are refused by name.
"""
