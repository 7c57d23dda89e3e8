"""Certificates out of a PKI engine; read on in `source.py` (one look).

`paths.py` and `options.py` are cheap to import; the others load cryptography, which nobody needs who reads secrets.
"""
