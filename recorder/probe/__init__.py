"""A venue looked at for half a minute: what would a recording of it be like?

A probe runs the very session, connections and checks of a capture over the
real feed, and stores nothing. Modules, each knowing only those above it:

* `report`: what came out, as plain values;
* `offset`: how far the venue's clock is from ours, and how surely;
* `listening`: a feed's dialogue with an ear at it;
* `tally`: rows counted instead of stored;
* `findings`: what of it people must know, in words;
* `choice`: markets and streams where none were named;
* `run`: all of it together, over sockets.
"""
