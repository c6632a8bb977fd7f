"""A local exchange that speaks the protocols the feeds read.

It is written from the protocol documents alone and shares no decoding with
the feeds, so that a mistake cannot be made twice and cancel out. Besides
serving data it writes down the truth, for tests to compare with.

Layers, each knowing only those above it:

* `book`, `flow`, `candles`, `engine`: markets, pure and seeded;
  `account`: somebody who trades there; `maintenance`: of a venue's systems,
  likewise;
* `truth`, `faults`: what really happened, and what is to go wrong;
* `wire_v3`, `wire_v4`, `wire_okx`, `window`: how it is said;
* `connection`, `spot_v4`, `v3`, `v3_private`, `rest`, `okx`, `announcements`: to whom;
* `cryptolisting`: the listing service, which shares nothing with the exchange
  but the port;
* `server`: the exchange as a whole. `play` serves a recording instead,
  `firehose` rendered frames as fast as they are read.
"""
