"""CEL as rules of custom resources use it: whole numbers, timestamps and Kubernetes' libraries, checked by type.

`midwatch_contracts.cel` is another dialect, in which every number is a double and no data is a value.
"""
