"""The listing service cryptolisting.ws, in each generation of its documents.

Written from the documents alone. `settings` has the knobs, `wire` says how it
speaks, `news` what about, `door` who is let in, `client` is one connection,
`server` the service as a whole, `truth` what it really did.
"""
